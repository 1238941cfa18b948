package gate

import (
	"cmp"
	"time"
)

// Rule is an ambient condition: it needs no request, so a gate's state is
// known at any moment, and so is the moment of its next change.
type Rule interface {
	// Eval reports whether the rule holds at now. next is the first moment
	// after now at which that can change by the clock alone; zero: never, or
	// unknown. An error means that the rule cannot be read: the gate keeps its
	// last known answer and reports the error.
	Eval(now time.Time) (holds bool, next time.Time, err error)
}

// Notifier is a [Rule] that can report a change between two moments.
type Notifier interface {
	// Notify calls changed after every change until stop is called. The call
	// may come from any goroutine; changed must not block.
	Notify(changed func()) (stop func())
}

// Describer is a [Rule] that shows more in a gate's status, such as the zone in
// force or the flag's name.
type Describer interface {
	Describe(now time.Time) map[string]any
}

// Condition is one open_when line.
type Condition struct {
	// Name is the rule's word in the configuration.
	Name string
	// Not inverts the rule.
	Not  bool
	Rule Rule
}

// Policy is what the configuration sets for a gate. The zero value is a gate
// that is open and keeps its tunnels when it closes.
type Policy struct {
	// Mode is auto, on or off. Empty: Auto.
	Mode Mode
	// OpenWhen are the conditions that must all hold for an Auto gate to be
	// open. None: open.
	OpenWhen []Condition
	// Closing is what happens to open tunnels when the gate closes.
	Closing Closing
	// Reason is what clients read while the gate is closed, unless an operator
	// gave another reason. Empty: a neutral sentence.
	Reason string
	// Removed is set when the gate has left the configuration. The gate is then
	// closed, whatever mode, rules and override say.
	Removed bool
}

// RemovedReason is the reason of a gate that has left the configuration.
const RemovedReason = "gate was removed from the configuration"

const (
	// DefaultDeadline is how long a drain may take if nothing else is
	// configured.
	DefaultDeadline = 30 * time.Second
	// CodeTryAgainLater is the close code for tunnels of a gate that closed.
	CodeTryAgainLater uint16 = 1013
	// CodeServiceRestart is the close code for tunnels of a gate that left the
	// configuration.
	CodeServiceRestart uint16 = 1012
)

// Closing is what happens to open tunnels when their gate closes. The zero
// value keeps them.
type Closing struct {
	// Drain ends the tunnels. Each is sent a close frame at once, between two
	// frames, and has until the deadline to finish. False: they stay open.
	Drain bool
	// Deadline is the time after which tunnels that are still open are cut.
	// Zero: at once.
	Deadline time.Duration
	// Code is the code in the close frame. Zero: 1013, or 1012 when the gate
	// left the configuration.
	Code uint16
	// Reason is the reason in the close frame. Empty: the verdict's public
	// text.
	Reason string
}

// Drain is a Closing that has begun: the close frame for the tunnels, and the
// deadline.
type Drain struct {
	Deadline time.Time
	Code     uint16
	Reason   string
}

// Plan returns the Drain for a Closing that begins now. Its reason is the first
// of these that exists: the reason of the override's own Closing, the
// override's reason, the configured reason, the verdict's public text.
func (c Closing) Plan(now time.Time, v Verdict, o *Override) Drain {
	d := Drain{Deadline: now.Add(c.Deadline), Code: c.Code, Reason: c.Reason}
	if d.Code == 0 {
		d.Code = CodeTryAgainLater
	}
	ownWords := o != nil && o.Closing != nil && o.Closing.Reason != ""
	if o != nil && o.Reason != "" && !ownWords {
		d.Reason = o.Reason
	}
	d.Reason = v.expand(cmp.Or(d.Reason, v.Text), now)
	return d
}
