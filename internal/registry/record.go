package registry

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/wsgate/wsgate/gate"
)

// keyPrefix is where all records lie in Caddy's storage.
const keyPrefix = "wsgate/"

// loadRetry is how often a stored switch that could not be read is tried again.
const loadRetry = 3 * time.Second

func overrideKey(name string) string { return keyPrefix + "gates/" + name + ".json" }

// overrideRecord is a stored override. Durations are strings.
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

// encode turns an override into its record. Nil: no record.
func encode(o *gate.Override) []byte {
	if o == nil {
		return nil
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

// decode turns a record into an override.
func decode(b []byte) (*gate.Override, error) {
	var r overrideRecord
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("decoding a stored switch: %w", err)
	}
	if r.Mode != gate.On && r.Mode != gate.Off {
		return nil, fmt.Errorf("decoding a stored switch: mode %q", r.Mode)
	}
	o := &gate.Override{Mode: r.Mode, Reason: r.Reason, Actor: r.Actor, From: r.From, At: r.At}
	if r.Expires != nil {
		o.Expires = *r.Expires
	}
	if c := cmp.Or(r.Closing, r.OnClose); c != nil {
		o.Closing = &gate.Closing{Drain: c.Drain, Code: c.Code, Reason: c.Reason}
		if c.Deadline != "" {
			d, err := time.ParseDuration(c.Deadline)
			if err != nil {
				return nil, fmt.Errorf("decoding a stored switch: %w", err)
			}
			o.Closing.Deadline = d
		}
	}
	if err := validate(o); err != nil {
		return nil, fmt.Errorf("decoding a stored switch: %w", err)
	}
	return o, nil
}

// validate holds a record to what an operator may say.
func validate(o *gate.Override) error {
	if err := validText("reason", o.Reason, maxReason); err != nil {
		return err
	}
	if err := validText("actor", o.Actor, maxActor); err != nil {
		return err
	}
	if o.Closing != nil {
		return validClosing(*o.Closing)
	}
	return nil
}

// keepOverride stores what the switch says now. e.changing is held.
func (e *Entry) keepOverride(o *gate.Override) {
	e.mu.Lock()
	e.version, e.said = nextVersion(), true
	e.loaded, e.problem = true, "" // what memory has is newer than any record
	e.mu.Unlock()
	e.reg.store.put(overrideKey(e.name), encode(o))
}

// moveOverride takes the switch along to another place: what was said in this
// process's life is written there, that there is none too; else what lies there
// is read, whatever was read elsewhere.
func (e *Entry) moveOverride() {
	e.changing.Lock()
	defer e.changing.Unlock()
	o := e.gate.Snapshot().Override
	e.mu.Lock()
	said := e.said
	e.loaded = said
	e.mu.Unlock()
	if said {
		e.reg.store.put(overrideKey(e.name), encode(o))
	}
}

// loadOverride reads the stored switch of a gate, once. A record that cannot
// be read is a problem that the gate's status names, and is tried again.
func (e *Entry) loadOverride() {
	e.mu.Lock()
	done := e.loaded
	e.mu.Unlock()
	if done || !e.reg.store.bound() {
		return
	}
	b, ok, err := e.reg.store.load(overrideKey(e.name))
	var o *gate.Override
	if err == nil && ok {
		o, err = decode(b)
	}
	if err != nil {
		e.loadFailed(err)
		return
	}
	e.changing.Lock()
	defer e.changing.Unlock()
	now := time.Now()
	e.mu.Lock()
	if e.loaded {
		e.mu.Unlock()
		return // an operator was faster
	}
	e.loaded, e.problem, e.version = true, "", nextVersion()
	e.mu.Unlock()
	if o != nil && o.Expired(now) {
		e.reg.store.put(overrideKey(e.name), nil) // a clock that goes back must not bring it back
		o = nil
	}
	if o == nil && e.gate.Snapshot().Override == nil {
		return
	}
	before, after := e.gate.SetOverride(o, now) // in place of what another storage had
	e.moved(before, after, now)                 // without storing what came from there
	if o != nil {
		fields := []zap.Field{
			zap.String("gate", e.name), zap.String("mode", string(o.Mode)), zap.String("reason", o.Reason),
			zap.String("actor", o.Actor), zap.String("from", o.From), zap.Time("at", o.At),
		}
		if !o.Expires.IsZero() {
			fields = append(fields, zap.Time("expires", o.Expires))
		}
		Logger().Info("stored switch in force", fields...)
	}
}

// loadFailed says that the stored switch cannot be read, and tries again.
func (e *Entry) loadFailed(err error) {
	e.mu.Lock()
	if e.loaded {
		e.mu.Unlock()
		return // an operator was faster
	}
	first, again := e.problem == "", !e.retrying
	e.problem, e.retrying = "the stored switch cannot be read: "+err.Error(), true
	e.mu.Unlock()
	if first {
		Logger().Error("reading the stored switch failed, the gate follows its configuration",
			zap.String("gate", e.name), zap.Error(err))
	}
	if !again {
		return
	}
	time.AfterFunc(loadRetry, func() {
		e.mu.Lock()
		e.retrying = false
		e.mu.Unlock()
		if e.isPresent() {
			e.loadOverride()
		}
	})
}
