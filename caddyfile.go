package wsgate

import (
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/wsgate/wsgate/upstream"
)

func init() {
	// A plain directive, not a handler directive: it has to see its matcher,
	// which names the gate and the prefix.
	httpcaddyfile.RegisterDirective("wsgate", parseDirective)
	httpcaddyfile.RegisterDirectiveOrder("wsgate", httpcaddyfile.Before, "respond")
	httpcaddyfile.RegisterGlobalOption("wsgate", parseGlobalOption)
}

// directive is a wsgate directive while it is read.
type directive struct {
	policyWords

	helper    httpcaddyfile.Helper
	handler   *Handler
	upstreams []address
	dynamic   *caddyfile.Token
	rest      []caddyfile.Segment // reverse_proxy's words
	gate      caddyfile.Token     // where the gate is named
}

// address is an upstream and where it stands.
type address struct {
	upstream.Address
	token  caddyfile.Token
	scheme bool
}

// parseDirective reads
//
//	wsgate [<matcher>] [<upstreams...>] {
//	    gate              <name>
//	    id                <name>
//	    mode              auto|on|off
//	    open_when         [not] <rule> [<args...>]
//	    when_closed       503
//	    on_close          keep | drain [<deadline>] [code <code>] ["<reason>"]
//	    handshake_timeout <duration>
//	    idle_timeout      <duration>
//	    max_lifetime      <duration>
//	    to                <upstreams...>
//	    # and the words of reverse_proxy
//	}
func parseDirective(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next()
	matchers, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, err
	}
	h.Next()
	p := &directive{helper: h, handler: new(Handler)}
	p.start = h.Token()
	for _, token := range argTokens(h.Dispenser) {
		if err := p.upstream(token); err != nil {
			return nil, err
		}
	}
	for nesting := h.Nesting(); h.NextBlock(nesting); {
		if err := p.word(h.NextSegment()); err != nil {
			return nil, err
		}
	}
	if err := p.proxy(); err != nil {
		return nil, err
	}
	pattern := onlyPath(matchers)
	if err := p.path(pattern); err != nil {
		return nil, err
	}
	if err := p.name(firstPath(matchers)); err != nil {
		return nil, err
	}
	return h.NewRoute(matchers, p.handler), nil
}

// word takes one line of the block, with what is nested in it.
func (p *directive) word(seg caddyfile.Segment) error {
	d := caddyfile.NewDispenser(seg)
	d.Next()
	name := d.Val()
	if known, err := p.policyWords.word(d, seg); known || err != nil {
		return err
	}
	switch name {
	case "gate":
		return p.gateWord(d)
	case "handshake_timeout":
		return p.duration(d, &p.handler.HandshakeTimeout, "a duration of more than zero; the default is 15s")
	case "idle_timeout":
		return p.duration(d, &p.handler.IdleTimeout, "a duration of more than zero; without the word there is no limit")
	case "max_lifetime", "stream_timeout":
		return p.duration(d, &p.handler.MaxLifetime, "a duration of more than zero; without the word there is no limit")
	case "to":
		return p.to(d)
	case "dynamic":
		token := d.Token()
		p.dynamic = &token
	case "stream_close_delay":
		return p.closeDelay(d)
	case "transport":
		if len(seg) > 1 && seg[1].Text == "fastcgi" {
			return d.Err("transport fastcgi cannot carry WebSocket: want http")
		}
	}
	if why, ok := refusedWords[name]; ok {
		return d.Errf("%s has no place in wsgate: %s", name, why)
	}
	if !strings.HasPrefix(name, "@") && !keptWords[name] {
		return d.Errf("unknown word %q in wsgate: want gate, mode, open_when, when_closed, on_close, handshake_timeout, idle_timeout, max_lifetime, to, or a word of reverse_proxy", name)
	}
	p.rest = append(p.rest, seg)
	return nil
}

// duration reads a timeout. Doubled words are refused, and so are two words
// for the same thing (stream_timeout is max_lifetime).
func (p *directive) duration(d *caddyfile.Dispenser, to *caddy.Duration, want string) error {
	name := d.Val()
	if *to != 0 {
		return d.Errf("%s is given twice", name)
	}
	var word string
	if !d.Args(&word) || d.NextArg() {
		return d.Errf("%s: want %s", name, want)
	}
	value, err := caddy.ParseDuration(word)
	if err != nil || value <= 0 {
		return d.Errf("%s %q: want %s", name, word, want)
	}
	*to = caddy.Duration(value)
	return noBlock(d, name)
}

// closeDelay maps reverse_proxy's word for how long tunnels outlive their
// configuration: they do so for good, unless their gate leaves it.
func (p *directive) closeDelay(d *caddyfile.Dispenser) error {
	var word string
	if !d.Args(&word) || d.NextArg() {
		return d.Err("stream_close_delay: want a duration")
	}
	value, err := caddy.ParseDuration(word)
	if err != nil || value <= 0 || value > maxDeadline {
		return d.Errf("stream_close_delay %q: want more than 0s, at most 24h", word)
	}
	if p.policy.OnClose != nil {
		return d.Err("stream_close_delay and on_close say two things about the same: want on_close alone")
	}
	p.policy.OnClose = &OnClose{Policy: "drain", Deadline: caddy.Duration(value)}
	p.note("on_close", d.Token())
	return nil
}

// upstream takes one address.
func (p *directive) upstream(token caddyfile.Token) error {
	d := caddyfile.NewDispenser([]caddyfile.Token{token})
	d.Next()
	a, err := upstream.ParseAddress(token.Text)
	if err != nil {
		return d.WrapErr(err)
	}
	scheme := strings.Contains(token.Text, "://")
	if len(p.upstreams) > 0 {
		first := p.upstreams[0]
		if a.Secure != first.Secure {
			return d.Errf("upstream %q: all upstreams of a directive are ws:// or all are wss://, and the first is %q", token.Text, first.token.Text)
		}
		if a.Path != first.Path || a.HasPath != first.HasPath {
			return d.Errf("upstream %q: all upstreams of a directive have the same path, and the first is %q", token.Text, first.token.Text)
		}
	}
	p.upstreams = append(p.upstreams, address{a, token, scheme})
	return nil
}

func (p *directive) to(d *caddyfile.Dispenser) error {
	tokens := argTokens(d)
	if len(tokens) == 0 {
		return d.Err("to: want at least one upstream such as ws://127.0.0.1:8080")
	}
	for _, token := range tokens {
		if err := p.upstream(token); err != nil {
			return err
		}
	}
	return noBlock(d, "to")
}

// proxy gives reverse_proxy's own parser what is its own.
func (p *directive) proxy() error {
	if len(p.upstreams) == 0 && p.dynamic == nil {
		return p.errf("no upstream: want one such as ws://127.0.0.1:8080, or dynamic")
	}
	tokens := []caddyfile.Token{p.start}
	tokens[0].Text = "reverse_proxy"
	add := func(text string) {
		t := p.start
		t.Text = text
		tokens = append(tokens, t)
	}
	for _, a := range p.upstreams {
		if a.Secure {
			add("https://" + a.Dial)
		} else {
			add(a.Dial)
		}
	}
	if len(p.rest) > 0 {
		add("{")
		for _, seg := range p.rest {
			tokens = append(tokens, seg...)
		}
		end := tokens[len(tokens)-1]
		end.Text, end.Line = "}", end.Line+1
		tokens = append(tokens, end)
	}
	p.handler.Proxy = new(reverseproxy.Handler)
	if err := p.handler.Proxy.UnmarshalCaddyfile(caddyfile.NewDispenser(tokens)); err != nil {
		return err
	}
	if err := p.handler.Proxy.FinalizeUnmarshalCaddyfile(p.helper); err != nil {
		return err
	}
	if len(p.upstreams) > 0 && p.upstreams[0].scheme && !p.upstreams[0].Secure && strings.Contains(string(p.handler.Proxy.TransportRaw), `"tls":`) {
		return p.errf("upstream %q is without TLS, and transport has tls: want wss://", p.upstreams[0].token.Text)
	}
	return nil
}

// path decides how the request's path becomes the upstream's.
func (p *directive) path(pattern string) error {
	if len(p.upstreams) == 0 || !p.upstreams[0].HasPath {
		return nil
	}
	if p.handler.Proxy.Rewrite != nil {
		return p.errf("the upstream has a path, and rewrite makes another: want one of them")
	}
	p.handler.UpstreamPath = p.upstreams[0].Path
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok && strings.HasSuffix(prefix, "/") && !strings.ContainsAny(prefix, "*{") {
		p.handler.StripPathPrefix = prefix
	}
	return nil
}

// argTokens returns the rest of a line, as tokens.
func argTokens(d *caddyfile.Dispenser) []caddyfile.Token {
	var tokens []caddyfile.Token
	for d.NextArg() {
		tokens = append(tokens, d.Token())
	}
	return tokens
}

// noBlock refuses a block where there is nothing to say.
func noBlock(d *caddyfile.Dispenser, name string) error {
	if d.NextArg() {
		return d.Errf("%s: one word too many: %q", name, d.Val())
	}
	if d.NextBlock(d.Nesting()) {
		return d.Errf("%s takes no block", name)
	}
	return nil
}

// place is file and line of a token.
func place(t caddyfile.Token) string { return fmt.Sprintf("%s:%d", t.File, t.Line) }
