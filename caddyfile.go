package wsgate

import (
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/wsgate/wsgate/gate"
)

func init() {
	// A plain directive, not a handler directive: it has to see its matcher,
	// which names the gate and the prefix.
	httpcaddyfile.RegisterDirective("wsgate", parseDirective)
	httpcaddyfile.RegisterDirectiveOrder("wsgate", httpcaddyfile.Before, "reverse_proxy")
	httpcaddyfile.RegisterGlobalOption("wsgate", parseGlobalOption)
}

// directive is a wsgate directive while it is read.
type directive struct {
	policyWords

	helper   httpcaddyfile.Helper
	matchers caddy.ModuleMap
	// matcherText is the matcher as it is written; empty without one.
	matcherText string
	handler     *Handler
	upstreams   []address
	rest        []caddyfile.Segment // reverse_proxy's words
}

// parseDirective reads
//
//	wsgate [<matcher>] [<upstreams...>] {
//	    gate              <name>
//	    name              <name>
//	    id                <name>
//	    mode              auto|on|off
//	    open_when         [not] <rule> [<args...>]
//	    when_closed       503
//	    reason            "<text>"
//	    closing           keep | drain [<deadline>] [code <code>] ["<reason>"]
//	    handshake_timeout <duration>
//	    idle_timeout      <duration>
//	    max_lifetime      <duration>
//	    to                <upstreams...>
//	    # and the words of reverse_proxy
//	}
func parseDirective(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next()
	p := &directive{helper: h, handler: new(Handler)}
	p.start, p.seen = h.Token(), make(once)
	p.matcherText = matcherText(h)
	matchers, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, p.errf("%w", err)
	}
	p.matchers = matchers
	h.Next()
	for _, token := range h.RemainingArgsAsTokens() {
		if err := p.upstream(token); err != nil {
			return nil, err
		}
	}
	for nesting := h.Nesting(); h.NextBlock(nesting); {
		if err := p.word(h.NextSegment()); err != nil {
			return nil, err
		}
	}
	for _, finish := range []func() error{p.proxy, p.path, p.join, p.contradictions} {
		if err := finish(); err != nil {
			return nil, err
		}
	}
	p.warnOfSurroundings()
	return h.NewRoute(matchers, p.handler), nil
}

// word takes one line of the block, with what is nested in it.
func (p *directive) word(seg caddyfile.Segment) error {
	d := dispenser(seg...)
	switch name := d.Val(); name {
	case "gate":
		return p.gateName(d)
	case "name":
		return p.handlerName(d)
	case "handshake_timeout":
		return p.duration(d, &p.handler.HandshakeTimeout, name, "the default is 15s")
	case "idle_timeout":
		return p.duration(d, &p.handler.IdleTimeout, name, "without the word there is no limit")
	case "max_lifetime", "stream_timeout":
		return p.duration(d, &p.handler.MaxLifetime, "max_lifetime", "without the word there is no limit")
	case "stream_close_delay":
		return p.closeDelay(d)
	case "to":
		return p.to(d)
	}
	if known, err := p.policyWord(d); known {
		return err
	}
	return p.proxyWord(d, seg)
}

// gateName reads the gate's name.
func (p *directive) gateName(d *caddyfile.Dispenser) error {
	if err := p.seen.take(d, "gate"); err != nil {
		return err
	}
	var err error
	if p.handler.Gate, err = readName(d, "gate"); err != nil {
		return err
	}
	return lineEnds(d, "gate")
}

// handlerName reads the name by which tunnels find the directive again.
func (p *directive) handlerName(d *caddyfile.Dispenser) error {
	if err := p.seen.take(d, "name"); err != nil {
		return err
	}
	if !d.NextArg() || d.Val() == "" {
		return d.Err("name: want a name for this directive, such as the path that it takes")
	}
	p.handler.Name = d.Val()
	if err := checkName(p.handler.Name); err != nil {
		return d.WrapErr(err)
	}
	return lineEnds(d, "name")
}

// duration reads a timeout. meaning is wsgate's word for it, otherwise says
// what holds without it.
func (p *directive) duration(d *caddyfile.Dispenser, to *caddy.Duration, meaning, otherwise string) error {
	name := d.Val()
	if err := p.seen.take(d, meaning); err != nil {
		return err
	}
	value, err := readDuration(d, name, otherwise)
	*to = caddy.Duration(value)
	return err
}

// readDuration reads the one duration that a word is about.
func readDuration(d *caddyfile.Dispenser, name, otherwise string) (time.Duration, error) {
	if !d.NextArg() {
		return 0, d.Errf("%s: want a duration such as 30s", name)
	}
	value, err := caddy.ParseDuration(d.Val())
	if err != nil && endless[strings.ToLower(d.Val())] {
		return 0, d.Errf("%s %q: want a duration such as 30s; %s", name, d.Val(), otherwise)
	}
	if right := durationMeant(d.Val()); err != nil && right != "" {
		return 0, d.Errf("%s %q: want %s", name, d.Val(), right)
	}
	if err != nil {
		return 0, d.Errf("%s %q: want a duration such as 30s", name, d.Val())
	}
	if value <= 0 {
		return 0, d.Errf("%s %q: want more than zero; %s", name, d.Val(), otherwise)
	}
	return value, lineEnds(d, name)
}

// readName reads a name for a gate or an id.
func readName(d *caddyfile.Dispenser, word string) (string, error) {
	if !d.NextArg() {
		return "", d.Errf("%s: want a name", word)
	}
	name := d.Val()
	if name == "." || name == ".." {
		return "", d.Errf("%s %q: a URL would swallow this name: want a letter or a digit in it", word, name)
	}
	if !gate.ValidName(name) {
		return "", d.Errf("%s %q: want 1 to 64 letters, digits, '_', '.' or '-'%s", word, name, nameMeant(name))
	}
	return name, nil
}

// lineEnds refuses what stands behind the last argument of a word.
func lineEnds(d *caddyfile.Dispenser, name string) error {
	if d.NextArg() {
		return d.Errf("%s: one word too many: %q", name, d.Val())
	}
	if d.NextBlock(d.Nesting()) {
		return d.Errf("%s takes no block", name)
	}
	return nil
}

// once holds the words that may stand once, under what they mean.
type once map[string]caddyfile.Token

// take notes the word that d stands on, and refuses it if its meaning has been
// given before, by the same word or another.
func (o once) take(d *caddyfile.Dispenser, meaning string) error {
	now := d.Token()
	before, twice := o[meaning]
	switch {
	case !twice:
		o[meaning] = now
		return nil
	case before.Text == now.Text:
		return d.Errf("%s is given twice, first at %s", now.Text, place(before))
	}
	return d.Errf("%s, and %s at %s, say the same thing: want one of them", now.Text, before.Text, place(before))
}

// dispenser returns a dispenser that stands on the first of the tokens.
func dispenser(tokens ...caddyfile.Token) *caddyfile.Dispenser {
	d := caddyfile.NewDispenser(tokens)
	d.Next()
	return d
}

// place is file and line of a token, and the imports that led there, as Caddy
// writes them behind an error.
func place(t caddyfile.Token) string {
	return strings.TrimPrefix(dispenser(t).Err("").Error(), ", at ")
}

// anyOf lists words as "a, b or c".
func anyOf(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
