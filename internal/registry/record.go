package registry

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/ledger"
)

// keepsSilence is how long it is remembered that a gate was handed back, or a
// flag unset, so that others who read the storage hear of it.
const keepsSilence = 24 * time.Hour

// overrides are the records of switches: one for each gate.
var overrides = ledger.Kind{
	Prefix:    gatesPrefix,
	Fields:    []string{"mode", "reason", "actor", "from", "at", "expires", "closing", "on_close"},
	ValidName: gate.ValidName,
	Validate: func(_ string, r ledger.Record) (ends time.Time, err error) {
		_, ends, err = decode(r)
		return ends, err
	},
}

// overrideRecord is a stored switch. Durations are strings.
type overrideRecord struct {
	Mode    gate.Mode      `json:"mode"`
	Reason  string         `json:"reason,omitempty"`
	Actor   string         `json:"actor,omitempty"`
	From    string         `json:"from,omitempty"`
	At      time.Time      `json:"at"`
	Expires *time.Time     `json:"expires,omitempty"`
	Closing *closingRecord `json:"closing,omitempty"`
	OnClose *closingRecord `json:"on_close,omitempty"` // what it was called before: read, not written
}

type closingRecord struct {
	Drain    bool   `json:"drain"`
	Deadline string `json:"deadline,omitempty"`
	Code     uint16 `json:"code,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// encode turns an override into the value of its record; nil: the gate was
// handed back by who.
func encode(o *gate.Override, who operator, now time.Time) json.RawMessage {
	if o == nil {
		o = &gate.Override{Mode: gate.Auto, Actor: who.actor, From: who.from, At: now}
	}
	r := overrideRecord{Mode: o.Mode, Reason: o.Reason, Actor: o.Actor, From: o.From, At: o.At.UTC()}
	if !o.Expires.IsZero() {
		at := o.Expires.UTC()
		r.Expires = &at
	}
	if c := o.Closing; c != nil {
		r.Closing = &closingRecord{Drain: c.Drain, Deadline: c.Deadline.String(), Code: c.Code, Reason: c.Reason}
	}
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings, numbers and times: cannot happen
	}
	return b
}

// decode turns a record into an override, nil for auto, and says when the record
// may go.
func decode(record ledger.Record) (o *gate.Override, ends time.Time, err error) {
	if record.Value == nil {
		return nil, time.Time{}, nil
	}
	var r overrideRecord
	if err := json.Unmarshal(record.Value, &r); err != nil {
		return nil, ends, fmt.Errorf("decoding a stored switch: %w", err)
	}
	switch r.Mode {
	case gate.Auto:
		return nil, r.At.Add(keepsSilence), nil
	case gate.On, gate.Off:
	default:
		return nil, ends, fmt.Errorf("decoding a stored switch: mode %q", r.Mode)
	}
	o = &gate.Override{Mode: r.Mode, Reason: strings.ReplaceAll(r.Reason, "{{", "{ {"), Actor: r.Actor, From: r.From, At: r.At}
	if r.Expires != nil {
		o.Expires = *r.Expires
	}
	if c := cmp.Or(r.Closing, r.OnClose); c != nil {
		o.Closing = &gate.Closing{Drain: c.Drain, Code: c.Code, Reason: c.Reason}
		if c.Deadline != "" {
			d, err := time.ParseDuration(c.Deadline)
			if err != nil {
				return nil, ends, fmt.Errorf("decoding a stored switch: %w", err)
			}
			o.Closing.Deadline = d
		}
	}
	if err := validOverride(o); err != nil {
		return nil, ends, fmt.Errorf("decoding a stored switch: %w", err)
	}
	if !o.Expires.IsZero() {
		ends = o.Expires.Add(keepsSilence)
	}
	return o, ends, nil
}

func (e *Entry) key() string { return gatesPrefix + e.name }

// record returns the record that the gate follows. Without a value: none.
func (e *Entry) record() ledger.Record {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.follows
}

// setRecord notes which record the gate follows. e.changing is held.
func (e *Entry) setRecord(r ledger.Record) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.follows = r
}

// etag names the newest switch of a gate.
func (e *Entry) etag() string { return e.record().Tag() }

// adopt puts in force what the ledger has and the gate does not follow yet: what
// was read.
func (e *Entry) adopt() {
	for now := time.Now(); ; now = time.Now() {
		r, _ := e.reg.ledger.Get(e.key())
		if r.Same(e.record()) {
			return
		}
		o, _, err := decode(r)
		if err != nil { // the ledger takes only what is valid
			broken(r.Key, err)
			return
		}
		l := e.look(switchPatience, func(ask bool) gate.Look { return e.gate.LookOverride(o, now, ask) })
		if e.tryAdopt(r, o, l, now) {
			return
		}
	}
}

// tryAdopt reports whether r is followed now: nothing else was said meanwhile.
func (e *Entry) tryAdopt(r ledger.Record, o *gate.Override, l gate.Look, now time.Time) (done bool) {
	e.changing.Lock()
	defer e.changing.Unlock()
	before := e.record()
	switch newest, _ := e.reg.ledger.Get(e.key()); {
	case !newest.Same(r), !e.gate.Fits(l):
		return false
	case bytes.Equal(before.Value, r.Value), o == nil && e.gate.Snapshot().Override == nil:
		e.setRecord(r) // another number, or another way to say nothing
		return true
	}
	was, is, _ := e.gate.Apply(l, now)
	e.setRecord(r)
	e.moved(was, is, now)
	if is.Override != nil {
		publish(e.name, SwitchFound{is.Override})
	}
	return true
}

// switched is what a record says was done.
func (r overrideRecord) switched() Switched {
	s := Switched{Mode: r.Mode, Reason: r.Reason, Actor: r.Actor, From: r.From, At: r.At}
	if r.Expires != nil {
		s.Expires = *r.Expires
	}
	return s
}
