package wsgate

import (
	"fmt"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/tunnel"
)

// policyWords are the words of a gate's policy, which stand in a directive or
// in the global option.
type policyWords struct {
	policy Policy
	start  caddyfile.Token            // of the directive or the gate
	first  caddyfile.Token            // the first policy word
	seen   map[string]caddyfile.Token // the words that may stand once
}

// any reports whether the policy says anything.
func (p *policyWords) any() bool { return p.first.Text != "" }

// note remembers a word, and where it stands.
func (p *policyWords) note(name string, at caddyfile.Token) {
	if p.seen == nil {
		p.seen = make(map[string]caddyfile.Token)
	}
	p.seen[name] = at
	if !p.any() {
		p.first = at
	}
}

func (p *policyWords) errf(format string, args ...any) error {
	d := caddyfile.NewDispenser([]caddyfile.Token{p.start})
	d.Next()
	return d.WrapErr(fmt.Errorf(format, args...))
}

// word reads a word of the policy. known is false if it is none.
func (p *policyWords) word(d *caddyfile.Dispenser, seg caddyfile.Segment) (known bool, err error) {
	name, at := d.Val(), d.Token()
	var read func(*caddyfile.Dispenser) error
	switch name {
	case "open_when": // may stand several times
		p.note("", at)
		return true, p.openWhen(d, seg)
	case "id":
		read = p.id
	case "mode":
		read = p.mode
	case "when_closed":
		read = p.whenClosed
	case "on_close":
		read = p.onClose
	default:
		return false, nil
	}
	if before, twice := p.seen[name]; twice {
		return true, d.Errf("%s is given twice, first at %s", name, place(before))
	}
	p.note(name, at)
	if err := read(d); err != nil {
		return true, err
	}
	return true, noBlock(d, name)
}

func (p *policyWords) id(d *caddyfile.Dispenser) error {
	if !d.Args(&p.policy.ID) || p.policy.ID == "" {
		return d.Err("id: want one name, for Caddy's /id/ calls")
	}
	return nil
}

func (p *policyWords) mode(d *caddyfile.Dispenser) error {
	if !d.Args(&p.policy.Mode) {
		return d.Err("mode: want auto, on or off")
	}
	if _, err := gate.ParseMode(p.policy.Mode); err != nil || p.policy.Mode == "" {
		return d.Errf("mode %q: want auto, on or off", p.policy.Mode)
	}
	return nil
}

func (p *policyWords) whenClosed(d *caddyfile.Dispenser) error {
	var word string
	if !d.Args(&word) || word != "503" {
		return d.Errf("when_closed %q: want 503", word)
	}
	p.policy.WhenClosed = 503
	return nil
}

// onClose reads keep, or drain [<deadline>] [code <code>] ["<reason>"].
func (p *policyWords) onClose(d *caddyfile.Dispenser) error {
	const want = `want keep, or drain [<deadline>] [code <code>] ["<reason>"]`
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Err("on_close: " + want)
	}
	c := &OnClose{Policy: args[0]}
	switch {
	case args[0] != "keep" && args[0] != "drain":
		return d.Errf("on_close %q: %s", args[0], want)
	case args[0] == "keep" && len(args) > 1:
		return d.Errf("on_close keep: nothing follows keep, got %q", args[1])
	}
	p.policy.OnClose = c
	rest := args[1:]
	if len(rest) > 0 {
		if value, err := caddy.ParseDuration(rest[0]); err == nil {
			if value <= 0 || value > maxDeadline {
				return d.Errf("on_close drain %s: want a deadline of more than 0s, at most 24h", rest[0])
			}
			c.Deadline, rest = caddy.Duration(value), rest[1:]
		}
	}
	if len(rest) > 0 && rest[0] == "code" {
		if len(rest) < 2 {
			return d.Err("on_close drain: code without a number")
		}
		code, err := strconv.Atoi(rest[1])
		if err != nil || !tunnel.ValidCloseCode(code) {
			return d.Errf("on_close drain code %q: want 1000-1003, 1007-1014 or 3000-4999 (RFC 6455 §7.4; 1005, 1006 and 1015 never go on the wire)", rest[1])
		}
		c.Code, rest = code, rest[2:]
	}
	if len(rest) > 0 {
		if rest[0] == "code" || rest[0] == "spread" {
			return d.Errf("on_close drain: unexpected word %q: %s", rest[0], want)
		}
		if c.Reason = rest[0]; tunnel.TrimReason(c.Reason) != c.Reason {
			return d.Errf("on_close drain: the reason has %d bytes: a close frame takes at most 123 of UTF-8 (RFC 6455 §5.5.1)", len(c.Reason))
		}
		rest = rest[1:]
	}
	if len(rest) > 0 {
		return d.Errf("on_close drain: one word too many: %q; a reason of several words stands in quotes", rest[0])
	}
	return nil
}

// openWhen reads one rule: a matcher that needs no request.
func (p *policyWords) openWhen(d *caddyfile.Dispenser, seg caddyfile.Segment) error {
	words := seg[1:]
	var rule OpenWhen
	if len(words) > 0 && words[0].Text == "not" && !isOpen(words[1:]) {
		rule.Not, words = true, words[1:]
	}
	if len(words) == 0 || words[0].Text == "{" {
		return d.Err("open_when: want a rule such as time_window 09:00-18:00 or env_flag NAME")
	}
	name := words[0].Text
	rd := caddyfile.NewDispenser(words)
	rd.Next()
	module, err := caddy.GetModule("http.matchers." + name)
	if err != nil {
		return rd.Errf("open_when %s: unknown rule: want time_window or env_flag", name)
	}
	value := module.New()
	if _, ok := value.(gate.Rule); !ok {
		return rd.Errf("open_when %s: needs a request, so it is no rule: use it as a matcher of the directive", name)
	}
	unmarshaler, ok := value.(caddyfile.Unmarshaler)
	if !ok {
		return rd.Errf("open_when %s: cannot be written in a Caddyfile", name)
	}
	if err := unmarshaler.UnmarshalCaddyfile(rd.NewFromNextSegment()); err != nil {
		return err
	}
	rule.RuleRaw = caddy.ModuleMap{name: caddyconfig.JSON(value, nil)}
	p.policy.OpenWhen = append(p.policy.OpenWhen, rule)
	return nil
}

// isOpen reports whether a block begins here.
func isOpen(words []caddyfile.Token) bool { return len(words) > 0 && words[0].Text == "{" }

// parseGlobalOption reads
//
//	{
//	    wsgate {
//	        gate <name> {
//	            # policy words
//	        }
//	    }
//	}
func parseGlobalOption(d *caddyfile.Dispenser, existing any) (any, error) {
	d.Next()
	if existing != nil {
		return nil, d.Err("the global option wsgate is given twice: put all gates into one")
	}
	if d.NextArg() {
		return nil, d.Errf("wsgate takes no arguments here, got %q: want a block of gates", d.Val())
	}
	app := App{Gates: make(map[string]*Policy)}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Val() != "gate" {
			return nil, d.Errf("unknown word %q in the global option wsgate: want gate <name>", d.Val())
		}
		if err := app.parseGate(d); err != nil {
			return nil, err
		}
	}
	return httpcaddyfile.App{Name: "wsgate", Value: caddyconfig.JSON(&app, nil)}, nil
}

// parseGate reads one gate of the global option.
func (a *App) parseGate(d *caddyfile.Dispenser) error {
	var name string
	p := policyWords{start: d.Token()}
	if !d.Args(&name) || d.NextArg() {
		return d.Err("gate: want one name")
	}
	if !gate.ValidName(name) {
		return d.Errf("gate %q: want 1 to 64 letters, digits, '_', '.' or '-'", name)
	}
	if a.Gates[name] != nil {
		return d.Errf("gate %q is defined twice", name)
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		seg := d.NextSegment()
		sd := caddyfile.NewDispenser(seg)
		sd.Next()
		if seg.Directive() == "id" {
			return sd.Err("id: a gate of the global option carries its own name as id")
		}
		known, err := p.word(sd, seg)
		if err != nil {
			return err
		}
		if !known {
			return sd.Errf("unknown word %q in a gate: want mode, open_when, when_closed or on_close", seg.Directive())
		}
	}
	p.policy.ID = name
	a.Gates[name] = &p.policy
	return nil
}
