package gate

import (
	"cmp"
	"time"
)

// Rule is an ambient condition: it needs no request, so a gate's state is
// known at any moment, and so is the moment of its next change.
type Rule interface {
	// Eval reports whether the rule holds at now, and the first moment after
	// now at which that can change by the clock alone; zero: never, or not
	// known. An error means that the rule cannot be read: the gate keeps the
	// last known answer and says so.
	Eval(now time.Time) (holds bool, next time.Time, err error)
}

// Notifier is a [Rule] that can say "I changed" between two moments.
type Notifier interface {
	// Notify calls changed after every change until stop is called. The call
	// may come from any goroutine and must not be blocked.
	Notify(changed func()) (stop func())
}

// Describer is a [Rule] that has more to show in a gate's status: the zone in
// force, the flag's name.
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

// Policy is what a gate is told by configuration. The zero value is a gate
// that is open and keeps its tunnels when it closes.
type Policy struct {
	// Mode: empty means Auto.
	Mode Mode
	// OpenWhen must all hold for an Auto gate to be open. None: open.
	OpenWhen []Condition
	// Closing is what happens to open tunnels when the gate closes.
	Closing Closing
	// Reason is what clients are told while the gate is closed, unless an
	// operator said something else. Empty: a neutral sentence.
	Reason string
	// Removed means that the gate has left the configuration: it is closed,
	// whatever mode, rules and override say.
	Removed bool
}

// RemovedReason is the reason of a gate that has left the configuration.
const RemovedReason = "gate was removed from the configuration"

const (
	// DefaultDeadline is how long a drain may take when nothing else is said.
	DefaultDeadline = 30 * time.Second
	// CodeTryAgainLater is the close code of a gate that closed.
	CodeTryAgainLater uint16 = 1013
	// CodeServiceRestart is the close code of a gate that left the configuration.
	CodeServiceRestart uint16 = 1012
)

// Closing is what happens to open tunnels when their gate closes. The zero
// value keeps them.
type Closing struct {
	// Drain ends the tunnels: each is told at once, between two frames, and
	// has until the deadline to finish. False: they stay open.
	Drain bool
	// Deadline after which what is still open is cut. Zero: at once.
	Deadline time.Duration
	// Code of the close frame. Zero: 1013, or 1012 when the gate left the
	// configuration.
	Code uint16
	// Reason in the close frame. Empty: the verdict's public text.
	Reason string
}

// Drain is one carried-out Closing: what the tunnels are told, and until when.
type Drain struct {
	Deadline time.Time
	Code     uint16
	Reason   string
}

// Plan returns what a Closing means at a moment. An operator's words go before
// those of the configuration, and those before the verdict's public text.
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
