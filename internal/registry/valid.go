package registry

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/tunnel"
)

// This file validates what operators, configurations and records say of a gate.

const (
	maxReason = 512
	maxActor  = 128
	// MaxDeadline is the longest deadline of a drain.
	MaxDeadline = 24 * time.Hour
)

// InvalidError is returned for a value that is not allowed.
type InvalidError struct{ Field, Problem string }

// Error names the field and what is wrong with it.
func (e *InvalidError) Error() string { return e.Field + ": " + e.Problem }

// ValidReason refuses a reason that clients cannot be sent: more than 512
// bytes, not UTF-8, with control characters, or with an unknown placeholder.
func ValidReason(reason string) error {
	if err := validText("reason", reason, maxReason); err != nil {
		return err
	}
	if err := gate.CheckText(reason); err != nil {
		return &InvalidError{"reason", err.Error()}
	}
	return nil
}

// validOverride checks a switch, whether an operator or a record says it.
func validOverride(o *gate.Override) error {
	if err := validOldOverride(o); err != nil {
		return err
	}
	if err := ValidReason(o.Reason); err != nil {
		return err
	}
	switch c := o.Closing; {
	case !o.Expires.IsZero() && (o.Mode == gate.Auto || o.Expires.Sub(o.At) > maxTTL):
		return &InvalidError{"ttl", "want an end of on or off within 8760h (365 days)"}
	case c == nil:
		return nil
	case o.Mode != gate.Off:
		return &InvalidError{"closing", "belongs to mode off: " + string(o.Mode) + " closes nothing by itself"}
	case !c.Drain && *c != gate.Closing{}:
		return &InvalidError{"closing", "a deadline, a code and a reason belong to a drain: keep closes nothing"}
	default:
		return ValidClosing(*c)
	}
}

// validOldOverride checks a switch of an older wsgate, whose API allowed unknown
// placeholders, and a closing without effect.
func validOldOverride(o *gate.Override) error {
	if o.Mode != gate.Auto && o.Mode != gate.On && o.Mode != gate.Off {
		return &InvalidError{"mode", fmt.Sprintf("%q: want auto, on or off", string(o.Mode))}
	}
	for _, text := range []struct {
		field, value string
		most         int
	}{{"reason", o.Reason, maxReason}, {"actor", o.Actor, maxActor}, {"from", o.From, maxActor}} {
		if err := validText(text.field, text.value, text.most); err != nil {
			return err
		}
	}
	if o.Closing != nil {
		return validDrain(*o.Closing)
	}
	return nil
}

// ValidClosing refuses a drain with a negative deadline or one over 24 h, with
// a code that must not be sent, or with a reason that is longer than 123 bytes,
// not UTF-8, or has control characters.
func ValidClosing(c gate.Closing) error {
	if err := gate.CheckText(c.Reason); err != nil {
		return &InvalidError{"closing.reason", err.Error()}
	}
	return validDrain(c)
}

// validDrain does not check placeholders: an old record may have one, and is
// valid otherwise.
func validDrain(c gate.Closing) error {
	if c.Deadline < 0 || c.Deadline > MaxDeadline {
		return &InvalidError{"closing.deadline", fmt.Sprintf("%s: want 0s to 24h", c.Deadline)}
	}
	if c.Code != 0 && !tunnel.ValidCloseCode(int(c.Code)) {
		return InvalidCloseCode(int(c.Code))
	}
	if len(c.Reason) > 123 {
		return &InvalidError{"closing.reason", fmt.Sprintf("%d bytes: a close frame takes at most 123 (RFC 6455 §5.5.1)", len(c.Reason))}
	}
	return validText("closing.reason", c.Reason, 123)
}

// InvalidCloseCode returns the error for a close code that must not be sent.
func InvalidCloseCode(code int) error {
	return &InvalidError{"closing.code", fmt.Sprintf("%d must not be sent (RFC 6455 §7.4): want 1000-1003, 1007-1014 or 3000-4999", code)}
}

// validText refuses text that does not fit into a log line, a header or a close
// frame.
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
