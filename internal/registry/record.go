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

// tombstoneLife is how long a record says that a gate was given back to auto,
// or that a flag was unset. Other nodes that read the storage need it.
const tombstoneLife = 24 * time.Hour

// overrides are the records of switches, one for each gate.
var overrides = ledger.Kind{
	Prefix: gatesPrefix,
	Fields: []string{
		"mode", "reason", "actor", "from", "at", "expires",
		"closing", "closing.drain", "closing.deadline", "closing.code", "closing.reason",
		"on_close", "on_close.drain", "on_close.deadline", "on_close.code", "on_close.reason",
	},
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
	OnClose *closingRecord `json:"on_close,omitempty"` // the old name: read, but not written
}

type closingRecord struct {
	Drain    *bool  `json:"drain"`
	Deadline string `json:"deadline,omitempty"`
	Code     uint16 `json:"code,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// encode returns the value of an override's record. Nil: who has given the gate
// back to auto.
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
		r.Closing = &closingRecord{Drain: &c.Drain, Deadline: c.Deadline.String(), Code: c.Code, Reason: c.Reason}
	}
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings, numbers and times: cannot happen
	}
	return b
}

// decode returns the override of a record, nil for auto, and when the record
// ends.
func decode(record ledger.Record) (o *gate.Override, ends time.Time, err error) {
	if record.Value == nil {
		return nil, time.Time{}, nil
	}
	var r overrideRecord
	if err := json.Unmarshal(record.Value, &r); err != nil {
		return nil, ends, fmt.Errorf("decoding a stored switch: %w", err)
	}
	o = &gate.Override{Mode: r.Mode, Reason: r.Reason, Actor: r.Actor, From: r.From, At: r.At}
	if r.Expires != nil {
		o.Expires = *r.Expires
	}
	if c := cmp.Or(r.Closing, r.OnClose); c != nil {
		if o.Closing, err = c.closing(); err != nil {
			return nil, ends, fmt.Errorf("decoding a stored switch: %w", err)
		}
	}
	valid := validOverride
	if record.V == 0 { // the API of an older wsgate allowed more
		valid = validOldOverride
	}
	if err := valid(o); err != nil {
		return nil, ends, fmt.Errorf("decoding a stored switch: %w", err)
	}
	switch {
	case o.Mode == gate.Auto && o.At.IsZero():
		return nil, record.SaidAt.Add(tombstoneLife), nil
	case o.Mode == gate.Auto:
		return nil, o.At.Add(tombstoneLife), nil
	case !o.Expires.IsZero():
		ends = o.Expires.Add(tombstoneLife)
	}
	o.Reason = strings.ReplaceAll(o.Reason, "{{", "{ {")
	return o, ends, nil
}

// closing returns the closing of a record.
func (c closingRecord) closing() (*gate.Closing, error) {
	if c.Drain == nil {
		return nil, &InvalidError{"closing.drain", "missing: want true or false"}
	}
	closing := &gate.Closing{Drain: *c.Drain, Code: c.Code, Reason: c.Reason}
	if c.Deadline == "" {
		return closing, nil
	}
	var err error
	if closing.Deadline, err = time.ParseDuration(c.Deadline); err != nil {
		return nil, &InvalidError{"closing.deadline", err.Error()}
	}
	return closing, nil
}

func (e *Entry) key() string { return gatesPrefix + e.name }

// record returns the record in force. Its value is nil if there is none.
func (e *Entry) record() ledger.Record {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.current
}

// setRecord notes which record is in force. e.changing is held.
func (e *Entry) setRecord(r ledger.Record) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.current = r
}

// etag returns the tag of the record in force.
func (e *Entry) etag() string { return e.record().Tag() }

// adopt puts the ledger's record in force, after a reading.
func (e *Entry) adopt() {
	for now := time.Now(); ; now = time.Now() {
		r, _ := e.reg.ledger.Get(e.key())
		if r.Same(e.record()) {
			return
		}
		o, _, err := decode(r)
		if err != nil { // the ledger has checked it
			logBroken(r.Key, err)
			return
		}
		l := e.look(switchPatience, func(ask bool) gate.Look { return e.gate.LookOverride(o, now, ask) })
		if e.tryAdopt(r, o, l, now) {
			return
		}
	}
}

// tryAdopt puts r in force. done is false if the record or the gate has changed
// meanwhile.
func (e *Entry) tryAdopt(r ledger.Record, o *gate.Override, l gate.Look, now time.Time) (done bool) {
	e.changing.Lock()
	defer e.changing.Unlock()
	before := e.record()
	switch newest, _ := e.reg.ledger.Get(e.key()); {
	case !newest.Same(r), !e.gate.Fits(l):
		return false
	case bytes.Equal(before.Value, r.Value), o == nil && e.gate.Snapshot().Override == nil:
		e.setRecord(r) // another seq, or another record for auto
		return true
	}
	was, is, _ := e.gate.Apply(l, now)
	e.setRecord(r)
	e.applyEffects(was, is, now)
	if is.Override != nil && !sameWords(was.Override, is.Override) {
		publish(e.name, SwitchFound{is.Override})
	}
	return true
}

// sameWords reports whether two overrides say the same, perhaps at two times.
func sameWords(a, b *gate.Override) bool {
	if a == nil || b == nil {
		return a == b
	}
	sameClose := (a.Closing == nil) == (b.Closing == nil) && (a.Closing == nil || *a.Closing == *b.Closing)
	return a.Mode == b.Mode && a.Reason == b.Reason && a.Actor == b.Actor && a.Expires.Equal(b.Expires) && sameClose
}

// recordSays reports whether the record in force says what o does. The record of
// an override that has ended does not say auto.
func (e *Entry) recordSays(o *gate.Override) bool {
	inRecord, _, err := decode(e.record())
	return err == nil && (inRecord == nil) == (o == nil)
}
