package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/ledger"
)

// ErrPrecondition is returned if If-Match does not name the record in force,
// because somebody else was faster.
var ErrPrecondition = errors.New("the state has changed since it was read")

// UnknownGateError names a gate that is not there.
type UnknownGateError struct {
	Name  string
	Known []string
}

// Error names the gate, and those that are there.
func (e *UnknownGateError) Error() string {
	if len(e.Known) == 0 {
		return fmt.Sprintf("unknown gate %q: no gate is configured", e.Name)
	}
	return fmt.Sprintf("unknown gate %q: there is %s", e.Name, strings.Join(e.Known, ", "))
}

const (
	minTTL = time.Second
	maxTTL = 365 * 24 * time.Hour
)

// SwitchRequest is an operator's switch. If the gate is already switched to
// this mode, the request changes the fields that it has. Reason, end and
// closing stay as they are if it does not have them.
type SwitchRequest struct {
	// Mode is On, Off or Auto. Auto gives the gate back to its policy.
	Mode gate.Mode
	// Reason, at most 512 bytes. Empty: it stays the same in the same mode;
	// otherwise there is none.
	Reason string
	// NoReason removes the reason.
	NoReason bool
	// Actor, at most 128 bytes, and From, the operator's address, always are
	// those of the newest request.
	Actor, From string
	// TTL is the time until the gate is Auto again: 1 s to 365 days. Zero: the
	// end stays the same in the same mode; otherwise there is none.
	TTL time.Duration
	// NoEnd removes the end.
	NoEnd bool
	// Closing replaces the policy's. Nil: it stays the same in the same mode;
	// otherwise the policy's closing applies.
	Closing *gate.Closing
	// IfMatch is the If-Match header. Empty: any record may be in force.
	IfMatch string
}

// SwitchResult is the result of a switch.
type SwitchResult struct {
	Status
	// Replaced is the override that was in force before. Nil: there was none,
	// or the switch has changed nothing.
	Replaced *gate.Override
}

// Switch switches a gate. The switch is in force at once. Then Switch waits at
// most 5 s for the storage, and the status says whether the switch is stored.
// The same switch again changes nothing,
// unless the storage has the switch of another process. Errors: [*UnknownGateError],
// [*InvalidError], [ErrPrecondition].
func Switch(ctx context.Context, name string, req SwitchRequest) (SwitchResult, error) {
	if err := req.validate(); err != nil {
		return SwitchResult{}, err
	}
	e, err := reg.lookup(name)
	if err != nil {
		return SwitchResult{}, err
	}
	replaced, err := e.switchTo(req, time.Now())
	if err != nil {
		return SwitchResult{}, err
	}
	return SwitchResult{e.statusWhenStored(ctx), replaced}, nil
}

// statusWhenStored returns the status of the gate when its record is stored, or
// when the wait for that is over. The writer may have found another record, and
// a move between storages may begin right after the wait.
func (e *Entry) statusWhenStored(ctx context.Context) Status {
	ctx, cancel := e.reg.storeWait(ctx)
	defer cancel()
	for {
		over := !e.reg.ledger.AwaitStored(ctx, e.key())
		e.adopt()
		if s := e.status(time.Now()); s.Stored || over || ctx.Err() != nil || e.reg.ledger.Trouble(e.key()) != "" {
			return s
		}
	}
}

// operator is the operator who switches the gate.
type operator struct{ actor, from string }

// switchTo puts the request in force, and returns the override that it has
// replaced. It asks the rules before, without a lock, to know the next change.
// It waits for them only a moment.
func (e *Entry) switchTo(req SwitchRequest, now time.Time) (replaced *gate.Override, err error) {
	for {
		was := e.gate.Snapshot().Override
		o := req.override(was.InForce(now), now)
		l := e.look(switchPatience, func(ask bool) gate.Look { return e.gate.LookOverride(o, now, ask) })
		if replaced, done, err := e.trySwitch(req, was, o, l, now); done {
			return replaced, err
		}
	}
}

// trySwitch puts the request in force. done is false if the gate has changed
// since l was taken.
func (e *Entry) trySwitch(req SwitchRequest, was, o *gate.Override, l gate.Look, now time.Time) (replaced *gate.Override, done bool, err error) {
	e.changing.Lock()
	defer e.changing.Unlock()
	e.operator = operator{req.Actor, req.From}
	defer func() { e.operator = operator{} }()
	expected := ""
	if req.IfMatch != "" {
		if expected = e.etag(); !matches(req.IfMatch, expected) {
			return nil, true, ErrPrecondition
		}
	}
	if e.gate.Snapshot().Override != was {
		return nil, false, nil
	}
	was = was.InForce(now)
	if !e.tryRepeat(req, was, o, now) {
		if !e.gate.Fits(l) {
			return nil, false, nil
		}
		r, err := e.reg.ledger.Put(e.key(), encode(o, e.operator, now), expected, now)
		switch {
		case errors.Is(err, ledger.ErrConflict):
			return nil, true, ErrPrecondition
		case err != nil:
			return nil, true, err
		}
		before, after, _ := e.gate.Apply(l, now)
		e.setRecord(r)
		e.applyEffects(before, after, now)
		replaced = was
	}
	if req.Mode == gate.Off {
		e.applyClosing(now) // also tunnels that an earlier closing has kept
	}
	return replaced, true, nil
}

// tryRepeat says once more what is in force, if the request says the same.
// e.changing is held.
func (e *Entry) tryRepeat(req SwitchRequest, was, o *gate.Override, now time.Time) (done bool) {
	return req.repeats(was, o) && e.recordSays(o) && e.reg.ledger.Trouble(e.key()) == "" &&
		e.reg.ledger.Repeat(e.key(), encode(o, e.operator, now), e.etag(), now) == nil // otherwise another record was read
}

// override returns the override that the request makes of the one in force.
// Nil: none.
func (r SwitchRequest) override(was *gate.Override, now time.Time) *gate.Override {
	if r.Mode == gate.Auto {
		return nil
	}
	o := &gate.Override{Mode: r.Mode, Reason: r.Reason, Actor: r.Actor, From: r.From, At: now}
	if r.TTL > 0 {
		o.Expires = now.Add(r.TTL).Round(0) // without the monotonic clock, which stops while a machine sleeps
	}
	if r.Closing != nil {
		c := *r.Closing
		o.Closing = &c
	}
	if was == nil || was.Mode != r.Mode {
		return o
	}
	if r.Reason == "" && !r.NoReason {
		o.Reason = was.Reason
	}
	if r.TTL == 0 && !r.NoEnd {
		o.Expires = was.Expires
	}
	if r.Closing == nil {
		o.Closing = was.Closing
	}
	return o
}

// repeats reports whether the request changes nothing. A TTL always changes the
// end.
func (r SwitchRequest) repeats(was, o *gate.Override) bool {
	return r.TTL == 0 && sameWords(was, o)
}

func (r SwitchRequest) validate() error {
	o := &gate.Override{Mode: r.Mode, Reason: r.Reason, Actor: r.Actor, From: r.From, Closing: r.Closing}
	if err := validOverride(o); err != nil {
		return err
	}
	if r.TTL != 0 && (r.TTL < minTTL || r.TTL > maxTTL) {
		return &InvalidError{"ttl", fmt.Sprintf("%s: want 1s to 8760h (365 days)", r.TTL)}
	}
	if r.Mode == gate.Auto && (r.TTL != 0 || r.NoEnd) {
		return &InvalidError{"mode", "auto has no end: leave out ttl"}
	}
	return nil
}
