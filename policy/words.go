package policy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/registry"
	"github.com/wsgate/wsgate/internal/words"
	"github.com/wsgate/wsgate/tunnel"
)

// Words parses the words of a gate's policy in a directive or in the global
// option.
type Words struct {
	// Policy is the result.
	Policy Policy
	// Start is the directive or the gate that has the words.
	Start caddyfile.Token
	// First is the first word of the policy. Empty: there is none.
	First caddyfile.Token
	// Seen has the words that may occur only once.
	Seen words.Once

	rules []gate.Condition
}

// Any reports whether there is any word of a policy.
func (p *Words) Any() bool { return p.First.Text != "" }

// Note remembers where the policy begins.
func (p *Words) Note(at caddyfile.Token) {
	if !p.Any() {
		p.First = at
	}
}

// Errf returns an error for the whole, at the place where it begins.
func (p *Words) Errf(format string, args ...any) error {
	return words.Dispenser(p.Start).WrapErr(fmt.Errorf(format, args...))
}

// Word reads a word of the policy. known is false if it is another word.
func (p *Words) Word(d *caddyfile.Dispenser) (known bool, err error) {
	name := d.Val()
	var read func(*caddyfile.Dispenser) error
	switch name {
	case "open_when": // may occur several times
		p.Note(d.Token())
		return true, p.openWhen(d)
	case "id":
		read = p.id
	case "mode":
		read = p.mode
	case "when_closed":
		read = p.whenClosed
	case "closing":
		read = p.closing
	case "reason":
		read = p.publicReason
	case "on_close":
		return true, d.Err("on_close is called closing now: want closing, with the same arguments")
	case "on_open":
		return true, d.Err("on_open is no word: it will be called opening, which this version does not have yet")
	default:
		return false, nil
	}
	p.Note(d.Token())
	if err := p.Seen.Record(d, name); err != nil {
		return true, err
	}
	if err := read(d); err != nil {
		return true, err
	}
	return true, words.EndLine(d, name)
}

func (p *Words) id(d *caddyfile.Dispenser) (err error) {
	p.Policy.ID, err = words.Name(d, "id")
	return err
}

func (p *Words) mode(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		return d.Err("mode: want auto, on or off")
	}
	p.Policy.Mode = d.Val()
	if _, err := gate.ParseMode(d.Val()); err != nil || d.Val() == "" {
		return d.Errf("mode %q: %s", d.Val(), modeMeant(d.Val()))
	}
	return nil
}

func (p *Words) whenClosed(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		return d.Err("when_closed: want 503")
	}
	if d.Val() != "503" {
		return d.Errf("when_closed %q: want 503, the only answer there is so far", d.Val())
	}
	p.Policy.WhenClosed = 503
	return nil
}

// mostFixed is how many bytes of a reason may be fixed without a warning: a
// close frame has room for 123, and the time needs some of them.
const mostFixed = 90

// publicReason reads the text for clients while the gate is closed.
func (p *Words) publicReason(d *caddyfile.Dispenser) error {
	if !d.NextArg() || d.Val() == "" {
		return d.Err(`reason: want what clients read while the gate is closed, in quotes, such as "back at {wsgate.until}"`)
	}
	p.Policy.Reason = d.Val()
	if err := registry.ValidReason(d.Val()); err != nil {
		return d.WrapErr(err)
	}
	if fixed := len(strings.ReplaceAll(d.Val(), gate.UntilPlaceholder, "")); fixed > mostFixed {
		caddy.Log().Named("caddyfile").Warn("reason is long: a close frame takes 123 bytes, and the rest of it is cut off there",
			zap.Int("bytes", fixed), zap.String("file", d.File()), zap.Int("line", d.Line()))
	}
	return nil
}

// closing reads keep, or drain [<deadline>] [code <code>] ["<reason>"].
func (p *Words) closing(d *caddyfile.Dispenser) error {
	const want = `want keep, or drain [<deadline>] [code <code>] ["<reason>"]`
	if !d.NextArg() {
		return d.Err("closing: " + want)
	}
	p.Policy.Closing = &Closing{Policy: d.Val()}
	switch d.Val() {
	case "keep":
		if d.NextArg() {
			return d.Errf("closing keep: nothing follows keep, got %q", d.Val())
		}
		return nil
	case "drain":
	default:
		if meant := closingMeant(d.Val()); meant != "" {
			return d.Errf("closing %q: %s", d.Val(), meant)
		}
		return d.Errf("closing %q: %s", d.Val(), want)
	}
	args := d.RemainingArgsAsTokens()
	for _, take := range []func([]caddyfile.Token) (int, error){p.deadline, p.code, p.reason} {
		taken, err := take(args)
		if err != nil {
			return d.Errf("closing drain: %w", err)
		}
		args = args[taken:]
	}
	if len(args) > 0 {
		return d.Errf("closing drain: %q: %s; a reason stands in quotes", args[0].Text, want)
	}
	return nil
}

// deadline reads the first word if it begins like a duration. Like code and
// reason it returns how many words it read.
func (p *Words) deadline(args []caddyfile.Token) (int, error) {
	if len(args) == 0 || !numeric(args[0]) {
		return 0, nil
	}
	value, err := caddy.ParseDuration(args[0].Text)
	if right := words.DurationMeant(args[0].Text); err != nil && right != "" {
		return 0, fmt.Errorf("%q: want %s; a reason that begins like this stands in quotes", args[0].Text, right)
	}
	if err != nil {
		return 0, fmt.Errorf("%q: want a deadline such as 30s; a reason that begins like this stands in quotes", args[0].Text)
	}
	if value <= 0 || value > registry.MaxDeadline {
		return 0, fmt.Errorf("deadline %q: want more than zero, at most 24h", args[0].Text)
	}
	p.Policy.Closing.Deadline = caddy.Duration(value)
	return 1, nil
}

// numeric reports whether a word without quotes begins like a number.
func numeric(t caddyfile.Token) bool {
	return !t.Quoted() && t.Text != "" && (t.Text[0] >= '0' && t.Text[0] <= '9' || t.Text[0] == '-' || t.Text[0] == '+' || t.Text[0] == '.')
}

// code reads the word code and its number.
func (p *Words) code(args []caddyfile.Token) (int, error) {
	if len(args) == 0 || args[0].Quoted() || args[0].Text != "code" {
		return 0, nil
	}
	if len(args) == 1 {
		return 0, errors.New("code: want a close code such as 1013")
	}
	code, err := strconv.Atoi(args[1].Text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("code %q: want a number such as 1013", args[1].Text)
	case code == 1005 || code == 1006 || code == 1015:
		return 0, fmt.Errorf("code %d never goes on the wire (RFC 6455 §7.4.1): want one such as 1013, or 3000-4999", code)
	case !tunnel.ValidCloseCode(code):
		return 0, fmt.Errorf("code %d: want 1000-1003, 1007-1014 or 3000-4999 (RFC 6455 §7.4)", code)
	}
	p.Policy.Closing.Code = code
	return 2, nil
}

// reason reads one word in quotes.
func (p *Words) reason(args []caddyfile.Token) (int, error) {
	if len(args) == 0 || numeric(args[0]) {
		return 0, nil
	}
	reason, quoted := args[0].Text, args[0].Quoted()
	switch {
	case !quoted:
		return 0, nil // a word in the wrong place, not a reason
	case reason == "":
		return 0, errors.New("an empty reason: leave it out, and the closing's own reason is told")
	case gate.CheckText(reason) != nil:
		return 0, fmt.Errorf("the reason: %w", gate.CheckText(reason))
	case tunnel.TrimReason(reason) != reason:
		return 0, fmt.Errorf("the reason has %d bytes: a close frame takes 123 at most (RFC 6455 §5.5)", len(reason))
	}
	p.Policy.Closing.Reason = reason
	return 1, nil
}

// openWhen reads one rule: a matcher that needs no request.
func (p *Words) openWhen(d *caddyfile.Dispenser) error {
	var rule OpenWhen
	if !d.NextArg() {
		return d.Errf("open_when: want a rule: %s", words.AnyOf(ruleNames()))
	}
	if d.Val() == "not" {
		if rule.Not = true; !d.NextArg() {
			return d.Errf("open_when not: want a rule on the same line: %s", words.AnyOf(ruleNames()))
		}
	}
	name := d.Val()
	if name == "not" {
		return d.Err("open_when: not is given twice: want it once, or not at all")
	}
	var value caddy.Module
	if info, err := caddy.GetModule("http.matchers." + name); err == nil {
		value = info.New()
	}
	unmarshaler, ok := value.(caddyfile.Unmarshaler)
	if !ok {
		return d.Errf("open_when %s: %s", name, ruleMeant(name, rule.Not, d.RemainingArgs()))
	}
	condition, ok := value.(gate.Rule)
	if !ok {
		return d.Errf("open_when %s: %s needs a request, so it is no rule: use it as a matcher of the directive", name, name)
	}
	if err := unmarshaler.UnmarshalCaddyfile(d.NewFromNextSegment()); err != nil {
		return err
	}
	rule.RuleRaw = caddy.ModuleMap{name: caddyconfig.JSON(value, nil)}
	p.Policy.OpenWhen = append(p.Policy.OpenWhen, rule)
	p.rules = append(p.rules, gate.Condition{Name: name, Not: rule.Not, Rule: condition})
	return nil
}

// ruleNames returns the rules that this build of Caddy has.
func ruleNames() []string {
	var names []string
	for _, info := range caddy.GetModules("http.matchers") {
		if _, ok := info.New().(gate.Rule); ok {
			names = append(names, info.ID.Name())
		}
	}
	return names
}
