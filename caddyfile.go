package wsgate

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/wsgate/wsgate/internal/registry"
	"github.com/wsgate/wsgate/internal/swallow"
	"github.com/wsgate/wsgate/internal/words"
	"github.com/wsgate/wsgate/policy"
	"github.com/wsgate/wsgate/upstream"
)

func init() {
	// wsgate is a plain directive, not a handler directive: it has to see its
	// matcher, which names the gate and the prefix.
	httpcaddyfile.RegisterDirective("wsgate", parseDirective)
	httpcaddyfile.RegisterDirectiveOrder("wsgate", httpcaddyfile.Before, "reverse_proxy")
	httpcaddyfile.RegisterGlobalOption("wsgate", parseGlobalOption)
}

// directive is a wsgate directive while it is parsed.
type directive struct {
	policy.Words

	helper   httpcaddyfile.Helper
	site     *swallow.Site
	matchers caddy.ModuleMap
	// matcherText is the matcher as the Caddyfile has it. Empty: no matcher.
	matcherText string
	handler     *Handler
	up          upstream.Words
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
//	    half_open_timeout <duration>
//	    max_lifetime      <duration>
//	    to                <upstreams...>
//	    # and the words of reverse_proxy
//	}
func parseDirective(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next()
	p := &directive{helper: h, handler: new(Handler), site: swallow.SiteOf(h)}
	p.Start, p.Seen = h.Token(), make(words.Once)
	p.up = upstream.Words{Start: p.Start, Seen: p.Seen, Others: reservedWords}
	p.matcherText = matcherText(h)
	matchers, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, p.Errf("%w", err)
	}
	p.matchers = matchers
	h.Next()
	for _, token := range h.RemainingArgsAsTokens() {
		if err := p.up.Upstream(token); err != nil {
			return nil, err
		}
	}
	for nesting := h.Nesting(); h.NextBlock(nesting); {
		if err := p.word(h.NextSegment()); err != nil {
			return nil, err
		}
	}
	if p.handler.Proxy, err = p.up.Proxy(h); err != nil {
		return nil, err
	}
	if p.handler.StripPathPrefix, p.handler.UpstreamPath, err = p.up.Path(matchers, p.handler.Proxy); err != nil {
		return nil, err
	}
	if err := p.joinGate(); err != nil {
		return nil, err
	}
	p.WarnOfContradictions(p.handler.Gate)
	swallow.Directive{Site: p.site, Start: p.Start, Matchers: matchers, Dials: p.up.Dials()}.Warn()
	return h.NewRoute(matchers, p.handler), nil
}

// word reads one line of the block, with the block nested in it.
func (p *directive) word(seg caddyfile.Segment) error {
	d := words.Dispenser(seg...)
	switch name := d.Val(); name {
	case "gate":
		return p.gateName(d)
	case "name":
		return p.handlerName(d)
	case "handshake_timeout":
		return p.duration(d, &p.handler.HandshakeTimeout, name, "the default is 15s")
	case "idle_timeout":
		return p.duration(d, &p.handler.IdleTimeout, name, "without the word there is no limit")
	case "half_open_timeout":
		return p.duration(d, &p.handler.HalfOpenTimeout, name, "the default is 2m")
	case "max_lifetime", "stream_timeout":
		return p.duration(d, &p.handler.MaxLifetime, "max_lifetime", "without the word there is no limit")
	case "stream_close_delay":
		return p.closeDelay(d)
	case "to":
		return p.up.To(d)
	}
	if known, err := p.Word(d); known {
		return err
	}
	known, err := p.up.Word(d, seg)
	if err == nil && !known {
		err = d.Err(unknownWord(d.Val()))
	}
	return err
}

// gateName reads the gate's name.
func (p *directive) gateName(d *caddyfile.Dispenser) error {
	if err := p.Seen.Record(d, "gate"); err != nil {
		return err
	}
	var err error
	if p.handler.Gate, err = words.Name(d, "gate"); err != nil {
		return err
	}
	return words.EndLine(d, "gate")
}

// handlerName reads the name by which open tunnels find the directive after a
// reload.
func (p *directive) handlerName(d *caddyfile.Dispenser) error {
	if err := p.Seen.Record(d, "name"); err != nil {
		return err
	}
	if !d.NextArg() || d.Val() == "" {
		return d.Err("name: want a name for this directive, such as the path that it takes")
	}
	p.handler.Name = d.Val()
	if err := checkName(p.handler.Name); err != nil {
		return d.WrapErr(err)
	}
	return words.EndLine(d, "name")
}

// duration reads a timeout. meaning is wsgate's word for it; otherwise is the
// text for errors that says what holds without the word.
func (p *directive) duration(d *caddyfile.Dispenser, to *caddy.Duration, meaning, otherwise string) error {
	name := d.Val()
	if err := p.Seen.Record(d, meaning); err != nil {
		return err
	}
	value, err := words.Duration(d, name, otherwise)
	*to = caddy.Duration(value)
	return err
}

// closeDelay reads reverse_proxy's word for how long tunnels outlive their
// configuration. In wsgate they outlive it without limit, unless the new
// configuration no longer has their gate. Then closing applies to them.
func (p *directive) closeDelay(d *caddyfile.Dispenser) error {
	p.Note(d.Token())
	if err := p.Seen.Record(d, "closing"); err != nil {
		return err
	}
	value, err := words.Duration(d, "stream_close_delay", "without the word tunnels are kept")
	if err != nil {
		return err
	}
	if value > registry.MaxDeadline {
		return d.Errf("stream_close_delay %q: want at most 24h", value)
	}
	p.Policy.Closing = &policy.Closing{Policy: "drain", Deadline: caddy.Duration(value)}
	return nil
}
