package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/tunnel"
)

// ErrPrecondition is returned when If-Match names a state that is no longer
// the newest: somebody else was faster.
var ErrPrecondition = errors.New("the state has changed since it was read")

// InvalidError is a request with an absurd value.
type InvalidError struct{ Field, Problem string }

// Error names the field and what is wrong with it.
func (e *InvalidError) Error() string { return e.Field + ": " + e.Problem }

// UnknownGateError names a gate that is not there.
type UnknownGateError struct {
	Name  string
	Known []string
}

// Error names the gate, and those that there are.
func (e *UnknownGateError) Error() string {
	if len(e.Known) == 0 {
		return fmt.Sprintf("unknown gate %q: no gate is configured", e.Name)
	}
	return fmt.Sprintf("unknown gate %q: there is %s", e.Name, strings.Join(e.Known, ", "))
}

const (
	maxReason   = 512
	maxActor    = 128
	minTTL      = time.Second
	maxTTL      = 365 * 24 * time.Hour
	maxDeadline = 24 * time.Hour
)

// SwitchRequest is an operator's word.
type SwitchRequest struct {
	// Mode is On, Off or Auto; Auto hands back to the policy.
	Mode gate.Mode
	// Reason (at most 512 bytes), Actor (128) and From, the address it came from.
	Reason, Actor, From string
	// TTL after which the gate is Auto again: 1 s to 365 days. Zero: no end.
	TTL time.Duration
	// Closing in place of the policy's. Nil: the policy's.
	Closing *gate.Closing
	// IfMatch is the If-Match header. Empty: whatever the state is.
	IfMatch string
}

// Switch throws a gate's switch. It is in force when Switch begins to wait for
// the storage, which it does for at most 5 s; the status says whether it was
// stored. The same word again changes nothing. Errors: [*UnknownGateError],
// [*InvalidError], [ErrPrecondition].
func Switch(ctx context.Context, name string, req SwitchRequest) (Status, error) {
	if err := req.validate(); err != nil {
		return Status{}, err
	}
	e, err := reg.lookup(name)
	if err != nil {
		return Status{}, err
	}
	if err := e.throw(req, time.Now()); err != nil {
		return Status{}, err
	}
	e.reg.store.wait(ctx, overrideKey(name))
	return e.status(time.Now()), nil
}

// throw puts the request in force. Rules are asked before, without a lock, so
// that it is known until when: for a moment at most.
func (e *Entry) throw(req SwitchRequest, now time.Time) error {
	var o *gate.Override
	if req.Mode != gate.Auto {
		o = req.override(now)
	}
	for {
		l := e.look(switchPatience, func(ask bool) gate.Look { return e.gate.LookOverride(o, now, ask) })
		if done, err := e.tryThrow(req, l, now); done {
			return err
		}
	}
}

// tryThrow reports whether nothing else was put in force since l was looked at.
func (e *Entry) tryThrow(req SwitchRequest, l gate.Look, now time.Time) (done bool, err error) {
	e.changing.Lock()
	defer e.changing.Unlock()
	if req.IfMatch != "" && !matches(req.IfMatch, e.etag()) {
		return true, ErrPrecondition
	}
	was := e.gate.Snapshot()
	if troubled := e.troubled(); troubled || !req.repeats(was.Override) {
		before, after, ok := e.gate.Apply(l, now)
		if !ok {
			return false, nil
		}
		if troubled && before.Override == after.Override {
			e.keepOverride(after.Override) // in place of what cannot be read
		}
		e.changed(before, after, now)
	} else {
		e.mu.Lock()
		e.said = true
		e.mu.Unlock()
		e.reg.store.again(overrideKey(e.name), encode(was.Override)) // somebody may have taken it away
	}
	if req.Mode == gate.Off {
		e.treat(now) // tunnels that an earlier closing kept, too
	}
	return true, nil
}

// troubled reports whether the stored switch cannot be read.
func (e *Entry) troubled() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.problem != ""
}

func (r SwitchRequest) override(now time.Time) *gate.Override {
	o := &gate.Override{Mode: r.Mode, Reason: r.Reason, Actor: r.Actor, From: r.From, At: now}
	if r.TTL > 0 {
		o.Expires = now.Add(r.TTL).Round(0) // by the wall clock, which goes on while a machine sleeps
	}
	if r.Closing != nil {
		c := *r.Closing
		o.Closing = &c
	}
	return o
}

// repeats reports whether the request says what is in force already. A TTL
// starts anew each time.
func (r SwitchRequest) repeats(o *gate.Override) bool {
	if r.Mode == gate.Auto || o == nil {
		return r.Mode == gate.Auto && o == nil
	}
	sameClose := (r.Closing == nil) == (o.Closing == nil) && (r.Closing == nil || *r.Closing == *o.Closing)
	return r.Mode == o.Mode && r.Reason == o.Reason && r.Actor == o.Actor &&
		r.TTL == 0 && o.Expires.IsZero() && sameClose
}

// ValidReason refuses a reason that clients could not be told: more than 512
// bytes, not UTF-8, with control characters, or with a placeholder in it that
// there is not.
func ValidReason(reason string) error {
	if err := validText("reason", reason, maxReason); err != nil {
		return err
	}
	if err := gate.CheckText(reason); err != nil {
		return &InvalidError{"reason", err.Error()}
	}
	return nil
}

func (r SwitchRequest) validate() error {
	if r.Mode != gate.Auto && r.Mode != gate.On && r.Mode != gate.Off {
		return &InvalidError{"mode", fmt.Sprintf("%q: want auto, on or off", string(r.Mode))}
	}
	if err := ValidReason(r.Reason); err != nil {
		return err
	}
	if err := validText("actor", r.Actor, maxActor); err != nil {
		return err
	}
	if r.TTL != 0 && (r.TTL < minTTL || r.TTL > maxTTL) {
		return &InvalidError{"ttl", fmt.Sprintf("%s: want 1s to 8760h (365 days)", r.TTL)}
	}
	if r.Mode == gate.Auto && (r.TTL != 0 || r.Closing != nil) {
		return &InvalidError{"mode", "auto has no end and closes nothing: leave out ttl and closing"}
	}
	if r.Closing != nil {
		return validClosing(*r.Closing)
	}
	return nil
}

func validClosing(c gate.Closing) error {
	if c.Deadline < 0 || c.Deadline > maxDeadline {
		return &InvalidError{"closing.deadline", fmt.Sprintf("%s: want 0s to 24h", c.Deadline)}
	}
	if c.Code != 0 && !tunnel.ValidCloseCode(int(c.Code)) {
		return &InvalidError{"closing.code", fmt.Sprintf("%d must not be sent (RFC 6455 §7.4): want 1000-1003, 1007-1014 or 3000-4999", c.Code)}
	}
	if len(c.Reason) > 123 {
		return &InvalidError{"closing.reason", fmt.Sprintf("%d bytes: a close frame takes at most 123 (RFC 6455 §5.5.1)", len(c.Reason))}
	}
	return validText("closing.reason", c.Reason, 123)
}

// validText refuses what a log line, a header or a close frame cannot carry.
func validText(field, s string, most int) error {
	if len(s) > most {
		return &InvalidError{field, fmt.Sprintf("%d bytes: want at most %d", len(s), most)}
	}
	if !utf8.ValidString(s) {
		return &InvalidError{field, "not valid UTF-8"}
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return &InvalidError{field, "control characters are not allowed"}
	}
	return nil
}
