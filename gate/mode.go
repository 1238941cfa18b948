package gate

import (
	"fmt"
	"time"
)

// Mode says what decides about a gate.
type Mode string

const (
	// Auto follows the rules; without rules the gate is open. It is the
	// default.
	Auto Mode = "auto"
	// On opens the gate whatever the rules say.
	On Mode = "on"
	// Off closes the gate whatever the rules say.
	Off Mode = "off"
)

// ParseMode reads a mode. The empty string is [Auto]. Any word other than auto,
// on and off is an error that names the three.
func ParseMode(s string) (Mode, error) {
	switch m := Mode(s); m {
	case "":
		return Auto, nil
	case Auto, On, Off:
		return m, nil
	}
	return "", fmt.Errorf("unknown mode %q: want auto, on or off", s)
}

// State is the result of mode, rules and tunnels.
type State string

const (
	// Open lets handshakes pass.
	Open State = "open"
	// Closed refuses handshakes.
	Closed State = "closed"
	// Draining is closed, while a deadline runs for tunnels that are still
	// open.
	Draining State = "draining"
)

// Cause names what decided.
type Cause string

const (
	// CauseOverride means that an operator switched the gate at run time.
	CauseOverride Cause = "override"
	// CauseRule means that an open_when rule decided.
	CauseRule Cause = "rule"
	// CauseConfig means that the configured mode decided, or that there is no
	// rule.
	CauseConfig Cause = "config"
	// CauseShutdown refuses a handshake that was under way when the process
	// began to exit. No gate has it in its own verdict.
	CauseShutdown Cause = "shutdown"
)

// Override is an operator's switch at run time. It stands above the policy.
type Override struct {
	// Mode is On or Off.
	Mode Mode
	// Reason, Actor and From say why, by whom and from which address. Free
	// text.
	Reason, Actor, From string
	// At is when it was set.
	At time.Time
	// Expires is when the gate follows its policy again. Zero: never.
	Expires time.Time
	// Closing replaces the policy's Closing. Nil: the policy's.
	Closing *Closing
}

// Expired reports whether the override has ended.
func (o *Override) Expired(now time.Time) bool {
	return !o.Expires.IsZero() && !now.Before(o.Expires)
}

// InForce returns the override, or nil if it has ended. Nil stays nil.
func (o *Override) InForce(now time.Time) *Override {
	if o == nil || o.Expired(now) {
		return nil
	}
	return o
}

// Verdict is a gate's answer with its reasons. Logs, the API and answers to
// clients report a refusal with its verdict.
type Verdict struct {
	Open  bool
	Cause Cause
	// Reason says why, for operators. It may name rules and flags.
	Reason string
	// Text is the part of the reason that clients may read: the operator's
	// text, else the policy's. Empty: a neutral sentence. [Verdict.PublicText]
	// expands it.
	Text string
	// Zone is the time zone for times that clients read. Nil: the server's.
	Zone *time.Location
	// Since is when this state (open or closed) began, as far as known.
	Since time.Time
	// Until is the next moment at which the state can change. Zero: unknown, or
	// only when somebody acts.
	Until time.Time
}

// RetryAfter returns whole seconds, rounded up and at least 1, until the state
// can change (RFC 9110 §10.2.3). Zero: unknown.
func (v Verdict) RetryAfter(now time.Time) int {
	if v.Until.IsZero() {
		return 0
	}
	wait := v.Until.Sub(now)
	return max(1, int((wait+time.Second-1)/time.Second))
}

// ValidName reports whether s may name a gate: [A-Za-z0-9_.-]{1,64}, but
// neither "." nor "..", which a URL path would swallow.
func ValidName(s string) bool {
	if len(s) < 1 || len(s) > 64 || s == "." || s == ".." {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '.', c == '-':
		default:
			return false
		}
	}
	return true
}
