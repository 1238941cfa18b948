package registry

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/ledger"
	"github.com/wsgate/wsgate/tunnel"
)

// ClosedError is returned when the gate closed, or the process began to exit,
// while a handshake was under way.
type ClosedError struct {
	// Verdict that refuses the handshake.
	Verdict gate.Verdict
}

// Error says that the gate is closed, and why.
func (e *ClosedError) Error() string { return "gate is closed: " + e.Verdict.Reason }

// Entry is a named gate with all that belongs to it: its tunnels, its totals,
// what is stored of it.
type Entry struct {
	// Set once by newEntry.
	name string
	reg  *registry
	gate *gate.Gate

	// Safe for concurrent use.
	table     table
	handlers  handlers
	upstreams usage[none]
	drain     drain
	counters  *counters
	looking   chan struct{} // holds one while rules are asked
	silent    atomic.Bool   // a rule has not answered in time, and is waited for
	retired   atomic.Bool   // forgotten: somebody holds it who was told too late
	follow    follower

	// Guarded by reg.mu.
	refs    int  // handlers that hold it
	present bool // named by a configuration in force

	// changing is held from a change of the gate until what follows from it is
	// under way: two at once would carry out theirs in any order.
	changing sync.Mutex
	operator operator // guarded by changing

	announced *bool // whether the gate was open when listeners last heard of it; nil: they have not. Guarded by changing

	mu          sync.Mutex     // guards the fields below
	older       *gate.Snapshot // what was in force before a configuration that may be taken back
	follows     ledger.Record  // whose switch is in force. Changed only while changing is held, too
	olderPolicy gate.Policy
	wasPresent  bool // in a configuration before that
}

func newEntry(r *registry, name string) *Entry {
	e := &Entry{
		name:     name,
		reg:      r,
		follows:  ledger.Record{Key: gatesPrefix + name},
		counters: newCounters(),
		looking:  make(chan struct{}, 1),
	}
	e.handlers.look = e.sweep
	e.drain.finished = func(f DrainFinished) { publish(name, f) }
	e.gate = gate.New(gate.Policy{}, time.Now())
	e.follow.init(e)
	return e
}

// Acquire returns the gate of a name for a handler that is being provisioned.
// A gate that nobody knows yet takes the handler's policy (of several handlers
// the one that has any), and what storage has of it, so that the first
// handshake after a cold start is answered rightly.
// Each Acquire is given back by one [Entry.Release].
func Acquire(name string, p gate.Policy, s Storage) *Entry {
	r := reg
	r.mu.Lock()
	e := r.entry(name)
	fresh, first := !e.present && e.Tunnels() == 0, e.refs == 0
	e.refs++
	r.mu.Unlock()
	if fresh && first {
		r.ledger.BindReadOnly(place(s))
		r.awaitRead()
		e.adopt()
	}
	if fresh && (first || p.Mode != "" || len(p.OpenWhen) > 0 || p.Closing != gate.Closing{}) {
		e.setPolicy(p, time.Now())
	}
	return e
}

// Release gives back what Acquire took.
func (e *Entry) Release() {
	e.reg.mu.Lock()
	defer e.reg.mu.Unlock()
	e.refs--
	e.reg.forget(e)
}

// Name returns the gate's name.
func (e *Entry) Name() string { return e.name }

// Verdict returns the gate's answer at now. It is a pointer read unless a
// change is due that nobody has seen yet: then it is carried out.
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

// Refused counts a handshake that was told no, by its outcome.
func (e *Entry) Refused(outcome string) { e.counters.handshakes.add(outcome) }

// Tried counts how long a handshake took that reached an upstream and was told
// no.
func (e *Entry) Tried(took time.Duration) { e.counters.tries.observe(took) }

// Tunnels returns how many tunnels are open.
func (e *Entry) Tunnels() int { return int(e.table.count.Load()) }

// checkpoint keeps what is in force, for a configuration that is taken back: before
// says whether one before it has the gate.
func (e *Entry) checkpoint(before bool) {
	e.changing.Lock()
	defer e.changing.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.older, e.olderPolicy, e.wasPresent = e.gate.Snapshot(), e.gate.Policy(), before
}

// strange reports whether no configuration has had the gate before the one that
// was taken back: it is gone like one that has left.
func (e *Entry) onlyTried() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.older == nil || !e.older.Removed && !e.wasPresent
}

// policyBefore returns what checkpoint has kept.
func (e *Entry) policyBefore() gate.Policy {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.olderPolicy
}

// retire marks an entry that has no tunnels: none can begin in it any more.
func (e *Entry) retire() bool { return e.table.seal(func() { e.retired.Store(true) }) }

// rollback makes the gate what it was before a configuration that was taken back.
func (e *Entry) rollback() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.older != nil {
		e.gate.Rollback(e.older)
	}
}

// remove closes a gate that left the configuration: it admits nothing more,
// and its tunnels are drained by its last closing.
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
	e.stopHandshakes(after)
	if last.Drain {
		e.drain.begin(e.table.each, last.Plan(now, after.Verdict, nil), after.Since, tunnel.ByGate)
	}
}

// changed records that a switch has come to its end, and carries out what follows.
// e.changing is held.
func (e *Entry) changed(before, after *gate.Snapshot, now time.Time) {
	if before.Override != nil && after.Override == nil {
		ended, err := e.reg.ledger.Put(e.key(), encode(nil, operator{}, now), e.record().Tag(), now)
		if err == nil { // else something newer was read, and will be adopted
			e.setRecord(ended)
		}
	}
	e.moved(before, after, now)
}

// moved carries out what follows from a change of the gate: of its state, or
// of what a closed gate does with its tunnels, as when a switch that kept them
// hands back to a rule that ends them. e.changing is held.
func (e *Entry) moved(before, after *gate.Snapshot, now time.Time) {
	e.follow.at(after.Next, now)
	e.stopHandshakes(after)
	final := e.reg.isFinal()
	if final || before.Override != after.Override {
		e.announce(before, after)
	}
	if (before.Open != after.Open || before.Closing != after.Closing) && final {
		e.applyClosing(now)
	}
}

// stopHandshakes refuses what is under way at a gate that is closed.
func (e *Entry) stopHandshakes(now *gate.Snapshot) {
	if !now.Open && e.reg.atClose != nil {
		e.reg.atClose(e.name, now.Verdict)
	}
}

// announce tells listeners when the gate is another than they last heard.
// e.changing is held.
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
	who, record := e.operator, uint64(0)
	if o := after.Override; o != nil {
		who, record = operator{o.Actor, o.From}, e.record().Seq
	}
	to := gate.Closed
	if after.Open {
		to = gate.Open
	}
	e.counters.changes.add(ChangeLabel{string(to), string(after.Cause)})
	publishState(e.name, record, GateChanged{Snapshot: after, Actor: who.actor, From: who.from})
}

// carryOut does what had to wait for the configuration in force to be there for
// good: listeners hear of a change that it brought, and a closed gate drains its
// tunnels.
func (e *Entry) carryOut(now time.Time) {
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
