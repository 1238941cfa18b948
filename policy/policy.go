package policy

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/registry"
)

// Policy is what the configuration sets for a gate. An operator's switch at run
// time stands above it.
type Policy struct {
	// An `@id` for Caddy's own `/id/…` calls, with which this policy can be
	// patched while Caddy runs. It must be unique in the configuration.
	// Default: none.
	ID string `json:"@id,omitempty"`

	// `auto` follows the rules, `on` and `off` do not. Default: `auto`.
	Mode string `json:"mode,omitempty"`

	// Rules that must all hold for the gate to be open. None: it is open.
	OpenWhen []OpenWhen `json:"open_when,omitempty"`

	// The status for a handshake that meets a closed gate. 503, the default, is
	// the only value so far. It is sent with Retry-After: the time until the
	// gate can open, or 5 to 30 s at random if that time is unknown.
	WhenClosed int `json:"when_closed,omitempty"`

	// What clients read while the gate is closed: in the body of the refusal,
	// in a close frame, in `{http.wsgate.reason}`. At most 512 bytes of UTF-8
	// without control characters; a close frame has room for the first 123. In
	// this text `{wsgate.until}` is the time at which the gate opens, as people
	// read it (`09:00 (Asia/Tokyo)`). If that time is unknown, a neutral
	// sentence replaces the text. Default: the neutral sentence. The reason
	// that an operator gives with a switch goes before this one. Plain text:
	// escape it where you put it into HTML.
	Reason string `json:"reason,omitempty"`

	// What happens to open tunnels when the gate closes, and when it leaves the
	// configuration. Default: they stay open.
	Closing *Closing `json:"closing,omitempty"`

	// Refused: the old name of `closing`.
	OnClose json.RawMessage `json:"on_close,omitempty"`
}

// OpenWhen is one rule of a gate: a matcher that needs no request.
type OpenWhen struct {
	// Whether to invert the rule. Default: false.
	Not bool `json:"not,omitempty"`

	// The rule: exactly one of the request matchers that need no request, such
	// as `time_window` and `env_flag`.
	RuleRaw caddy.ModuleMap `json:"rule,omitempty" caddy:"namespace=http.matchers"`
}

// Closing is what happens to open tunnels when their gate closes.
type Closing struct {
	// `keep` leaves them open. `drain` sends each of them a close frame,
	// between two frames. Default: `keep`.
	Policy string `json:"policy,omitempty"`

	// How long a drained tunnel may take to end before its connections are cut:
	// for the answer to the close frame, for a frame that is under way, for a
	// peer that does not read. Default, and zero: 30s. At most 24h.
	Deadline caddy.Duration `json:"deadline,omitempty"`

	// The code in the close frame (RFC 6455 §7.4). Default: 1013 (try again
	// later), or 1012 (service restart) when the gate left the configuration.
	Code int `json:"code,omitempty"`

	// The reason in the close frame, at most 123 bytes of UTF-8. Default: the
	// policy's `reason`. A reason that an operator gives with a switch goes
	// before it.
	Reason string `json:"reason,omitempty"`
}

// Provision turns the configuration into a gate.Policy, and loads the rules. It
// returns an error that names the wrong value.
func (p *Policy) Provision(ctx caddy.Context) (gate.Policy, error) {
	var out gate.Policy
	var err error
	if p.OnClose != nil {
		return out, errors.New("on_close is called closing now: want closing, with the same value")
	}
	if out.Mode, err = gate.ParseMode(p.Mode); err != nil {
		return out, err
	}
	if p.WhenClosed != 0 && p.WhenClosed != 503 {
		return out, fmt.Errorf("when_closed %d: want 503", p.WhenClosed)
	}
	if err := registry.ValidReason(p.Reason); err != nil {
		return out, err
	}
	out.Reason = p.Reason
	for i := range p.OpenWhen {
		c, err := p.OpenWhen[i].provision(ctx)
		if err != nil {
			return out, fmt.Errorf("open_when %d: %w", i+1, err)
		}
		out.OpenWhen = append(out.OpenWhen, c)
	}
	if p.Closing != nil {
		if out.Closing, err = p.Closing.values(); err != nil {
			return out, fmt.Errorf("closing: %w", err)
		}
	}
	return out, nil
}

// provision loads the rule's matcher, and refuses a matcher that is not a rule.
func (o *OpenWhen) provision(ctx caddy.Context) (gate.Condition, error) {
	if len(o.RuleRaw) != 1 {
		return gate.Condition{}, fmt.Errorf("%d rules: want exactly one", len(o.RuleRaw))
	}
	var name string
	for name = range o.RuleRaw {
		break
	}
	loaded, err := ctx.LoadModule(o, "RuleRaw")
	if err != nil {
		return gate.Condition{}, fmt.Errorf("loading rule %q: %w", name, err)
	}
	rule, ok := loaded.(map[string]any)[name].(gate.Rule)
	if !ok {
		return gate.Condition{}, fmt.Errorf("%q needs a request, so it is no rule: use it as a matcher of the directive", name)
	}
	return gate.Condition{Name: name, Not: o.Not, Rule: rule}, nil
}

// values checks the closing and fills in its defaults.
func (c *Closing) values() (gate.Closing, error) {
	switch c.Policy {
	case "", "keep":
		if c.Deadline != 0 || c.Code != 0 || c.Reason != "" {
			return gate.Closing{}, fmt.Errorf("keep closes nothing: leave out deadline, code and reason, or say drain")
		}
		return gate.Closing{}, nil
	case "drain":
	default:
		return gate.Closing{}, fmt.Errorf("unknown policy %q: want keep or drain", c.Policy)
	}
	out := gate.Closing{Drain: true, Deadline: time.Duration(c.Deadline), Reason: c.Reason}
	if out.Deadline == 0 {
		out.Deadline = gate.DefaultDeadline
	}
	if out.Code = uint16(c.Code); int(out.Code) != c.Code {
		return gate.Closing{}, registry.InvalidCloseCode(c.Code)
	}
	return out, registry.ValidClosing(out)
}

// Same reports whether two policies mean the same. Defaults that are written
// out, and the order of rules, make no difference.
func (p *Policy) Same(q *Policy) bool {
	x, errX := p.plain()
	y, errY := q.plain()
	return errX == nil && errY == nil && x == y
}

// Empty reports whether the policy sets nothing. The ID does not count.
func (p *Policy) Empty() bool {
	return p.Mode == "" && len(p.OpenWhen) == 0 && p.WhenClosed == 0 && p.Reason == "" && p.Closing == nil && p.OnClose == nil
}

// plain returns the policy as text, without its ID and with its defaults
// written out.
func (p *Policy) plain() (string, error) {
	c := *p
	c.ID = ""
	c.Mode = cmp.Or(c.Mode, string(gate.Auto))
	c.WhenClosed = cmp.Or(c.WhenClosed, 503)
	if c.Closing == nil {
		c.Closing = new(Closing)
	}
	closing, err := c.Closing.values()
	if err != nil {
		return "", err
	}
	c.Closing = nil
	rules := make([]string, len(c.OpenWhen))
	for i, rule := range c.OpenWhen {
		text, err := json.Marshal(rule)
		if err != nil {
			return "", err
		}
		rules[i] = string(text)
	}
	slices.Sort(rules)
	c.OpenWhen = nil
	text, err := json.Marshal(struct {
		Policy  *Policy
		Closing gate.Closing
		Rules   []string
	}{&c, closing, slices.Compact(rules)})
	return string(text), err
}
