package registry

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/ledger"
	"github.com/wsgate/wsgate/tunnel"
)

// ClosedError is returned if the gate closes during a handshake, or the process
// begins to exit.
type ClosedError struct {
	// Verdict that refuses the handshake.
	Verdict gate.Verdict
}

// Error says that the gate is closed, and why.
func (e *ClosedError) Error() string { return "gate is closed: " + e.Verdict.Reason }

// Entry is a named gate with all that belongs to it: its tunnels, its counters,
// its record.
type Entry struct {
	// Set once by newEntry.
	name string
	reg  *registry
	gate *gate.Gate

	// Safe for concurrent use.
	table       table
	handlers    handlers
	upstreams   usage[none]
	drain       drain
	counters    *counters
	looking     chan struct{} // holds one token while rules are asked
	rulesSilent atomic.Bool   // a rule has not answered in time, and is still waited for
	retired     atomic.Bool   // the entry was forgotten, but somebody may still hold it
	follow      follower

	// Guarded by reg.mu.
	refs    int  // handlers that hold it
	present bool // a configuration in force names it

	// changing is held while the gate changes and the effects begin, so that
	// the effects of two changes come in order.
	changing sync.Mutex
	operator operator // guarded by changing

	announced *bool // whether the gate was open when this was last published; nil: it was not published yet. Guarded by changing

	mu            sync.Mutex     // guards the fields below
	savedSnapshot *gate.Snapshot // of the older configuration, while the newer one may be taken back
	current       ledger.Record  // the record in force; only changed while changing is held, too
	savedPolicy   gate.Policy
	savedPresent  bool // whether the older configuration has the gate
}

func newEntry(r *registry, name string) *Entry {
	e := &Entry{
		name:     name,
		reg:      r,
		current:  ledger.Record{Key: gatesPrefix + name},
		counters: newCounters(),
		looking:  make(chan struct{}, 1),
	}
	e.handlers.look = e.closeOverLimit
	e.drain.finished = func(f DrainFinished) { publish(name, f) }
	e.gate = gate.New(gate.Policy{}, time.Now())
	e.follow.init(e)
	return e
}

// Acquire returns a gate for a handler that is being provisioned. A new gate
// gets the policy of the handler. If it has several handlers, it gets the
// policy of the one that has any. It also gets its record from storage, so that
// the first handshake after a cold start gets the right answer. Call
// [Entry.Release] once for each Acquire.
func Acquire(name string, p gate.Policy, s Storage) *Entry {
	r := reg
	r.mu.Lock()
	e := r.entry(name)
	fresh, first := !e.present && e.Tunnels() == 0, e.refs == 0
	e.refs++
	r.mu.Unlock()
	if fresh && first {
		r.ledger.BindReadOnly(placeOf(s))
		r.awaitRead()
		e.adopt()
	}
	if fresh && (first || p.Mode != "" || len(p.OpenWhen) > 0 || p.Closing != gate.Closing{}) {
		e.setPolicy(p, time.Now())
	}
	return e
}

// Release undoes one Acquire.
func (e *Entry) Release() {
	e.reg.mu.Lock()
	defer e.reg.mu.Unlock()
	e.refs--
	e.reg.forget(e)
}

// Name returns the gate's name.
func (e *Entry) Name() string { return e.name }

// Verdict returns the gate's answer at now. It only reads a pointer, unless a
// change is due: then it carries the change out.
func (e *Entry) Verdict(now time.Time) gate.Verdict { return e.snapshot(now).Verdict }

// snapshot returns what is in force at now.
func (e *Entry) snapshot(now time.Time) *gate.Snapshot {
	s := e.gate.Snapshot()
	if s.Due(now) {
		e.refreshAt(now)
		s = e.gate.Snapshot()
	}
	return s
}

// Accepted is the outcome of a handshake that became a tunnel.
const Accepted = "accepted"

// CountRefused counts a refused handshake by its outcome.
func (e *Entry) CountRefused(outcome string) { e.counters.handshakes.add(outcome) }

// ObserveHandshake counts the duration of a handshake that reached an upstream
// and was refused.
func (e *Entry) ObserveHandshake(took time.Duration) { e.counters.handshakeTimes.observe(took) }

// Tunnels returns how many tunnels are open.
func (e *Entry) Tunnels() int { return int(e.table.count.Load()) }

// checkpoint saves what is in force, so that rollback can restore it. before
// says whether the older configuration has the gate.
func (e *Entry) checkpoint(before bool) {
	e.changing.Lock()
	defer e.changing.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.savedSnapshot, e.savedPolicy, e.savedPresent = e.gate.Snapshot(), e.gate.Policy(), before
}

// onlyTried reports whether only the configuration that was taken back had the
// gate. Then the gate is removed.
func (e *Entry) onlyTried() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.savedSnapshot == nil || !e.savedSnapshot.Removed && !e.savedPresent
}

// policyAtCheckpoint returns the policy that checkpoint has saved.
func (e *Entry) policyAtCheckpoint() gate.Policy {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.savedPolicy
}

// retire marks an entry without tunnels as forgotten, so that it admits no
// more. It reports whether there were no tunnels.
func (e *Entry) retire() bool { return e.table.seal(func() { e.retired.Store(true) }) }

// rollback restores what checkpoint has saved.
func (e *Entry) rollback() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.savedSnapshot != nil {
		e.gate.Rollback(e.savedSnapshot)
	}
}

// remove closes a gate that no configuration has any more: it admits nothing,
// and its last closing applies to its tunnels.
func (e *Entry) remove(now time.Time) {
	e.changing.Lock()
	defer e.changing.Unlock()
	last := e.gate.Snapshot().Closing
	if last.Drain && last.Code == 0 {
		last.Code = gate.CodeServiceRestart
	}
	e.follow.rules(gate.Policy{})
	_, after := e.gate.SetPolicy(gate.Policy{Removed: true, Closing: last}, now)
	e.follow.at(after.Next, now)
	e.refuseHandshakes(after)
	if last.Drain {
		e.drain.begin(e.table.each, last.Plan(now, after.Verdict, nil), after.Since, tunnel.ByGate)
	}
}

// handleChange records the end of a switch, and applies the effects of the
// change. e.changing is held.
func (e *Entry) handleChange(before, after *gate.Snapshot, now time.Time) {
	if before.Override != nil && after.Override == nil {
		ended, err := e.reg.ledger.End(e.key(), encode(nil, operator{}, now), e.record().Tag(), now)
		if err == nil { // otherwise a newer record was read, which adopt puts in force
			e.setRecord(ended)
		}
	}
	e.applyEffects(before, after, now)
}

// applyEffects applies the effects of a change of the gate. The state need not
// have changed: the closing may be another, for example if a switch that kept
// the tunnels ends and a rule drains them. e.changing is held.
func (e *Entry) applyEffects(before, after *gate.Snapshot, now time.Time) {
	e.follow.at(after.Next, now)
	e.refuseHandshakes(after)
	final := e.reg.isFinal()
	if final || before.Override != after.Override {
		e.announce(before, after)
	}
	if (before.Open != after.Open || before.Closing != after.Closing) && final {
		e.applyClosing(now)
	}
}

// refuseHandshakes refuses the handshakes under way if the gate is closed.
func (e *Entry) refuseHandshakes(now *gate.Snapshot) {
	if !now.Open && e.reg.atClose != nil {
		e.reg.atClose(e.name, now.Verdict)
	}
}

// announce publishes the state of the gate if it has changed since the last
// time. e.changing is held.
func (e *Entry) announce(before, after *gate.Snapshot) {
	if !e.isPresent() {
		return
	}
	was := before.Open
	if e.announced != nil {
		was = *e.announced
	}
	e.announced = &after.Open
	if was == after.Open {
		return
	}
	who := e.operator
	if o := after.Override; o != nil {
		who = operator{o.Actor, o.From}
	}
	to := gate.Closed
	if after.Open {
		to = gate.Open
	}
	e.counters.changes.add(ChangeLabel{string(to), string(after.Cause)})
	publishState(e.name, GateChanged{Snapshot: after, Actor: who.actor, From: who.from})
}

// applyDeferred applies the effects that waited until the configuration in
// force was final: it publishes the change, and drains the tunnels of a closed
// gate.
func (e *Entry) applyDeferred(now time.Time) {
	e.changing.Lock()
	s := e.gate.Snapshot()
	e.announce(s, s)
	e.changing.Unlock()
	e.applyClosing(now)
}

// isPresent reports whether a configuration in force names the gate.
func (e *Entry) isPresent() bool {
	e.reg.mu.Lock()
	defer e.reg.mu.Unlock()
	return e.present
}
