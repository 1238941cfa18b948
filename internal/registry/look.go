package registry

import (
	"sync/atomic"
	"time"

	"github.com/wsgate/wsgate/gate"
)

// setPolicy puts a policy in force and follows its rules, from before they are
// asked: what changes in between is not missed.
func (e *Entry) setPolicy(p gate.Policy, now time.Time) {
	e.follow.rules(p)
	e.apply(policyPatience, now, func(ask bool) gate.Look { return e.gate.LookPolicy(p, now, ask) })
}

const (
	// How long rules may take to answer a new policy, the clock, and a switch.
	// Then what they last said stands, and they are looked at again when they
	// answer.
	policyPatience = time.Second
	clockPatience  = 250 * time.Millisecond
	switchPatience = 25 * time.Millisecond
)

// look looks at the gate and asks its rules, one look at a time. Where they do
// not answer within the time given, or an earlier look still waits for them, what
// they last said stands.
func (e *Entry) look(patience time.Duration, do func(ask bool) gate.Look) gate.Look {
	if e.silent.Load() {
		return do(false)
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case e.looking <- struct{}{}:
	case <-limit.C:
		return do(false)
	}
	answer := make(chan gate.Look, 1)
	var state atomic.Int32 // 0: waited for; 1: it came in time; 2: it did not
	go func() {
		l := do(true)
		if !state.CompareAndSwap(0, 1) {
			e.silent.Store(false)
			e.follow.soon() // the rules answer again
		}
		<-e.looking
		answer <- l
	}()
	select {
	case l := <-answer:
		return l
	case <-limit.C:
	}
	e.silent.Store(true) // before it is known that it did: an answer that comes just now takes it back
	if !state.CompareAndSwap(0, 2) {
		e.silent.Store(false)
		return <-answer
	}
	return do(false)
}

// apply looks at the gate and puts what it saw in force, with what follows.
func (e *Entry) apply(patience time.Duration, now time.Time, do func(ask bool) gate.Look) {
	for {
		l := e.look(patience, do)
		e.changing.Lock()
		before, after, ok := e.gate.Apply(l, now)
		if ok {
			e.changed(before, after, now)
		}
		e.changing.Unlock()
		if ok {
			return
		}
	}
}

// refresh looks at the gate again because the clock or a rule may have changed it.
func (e *Entry) refresh() { e.refreshAt(time.Now()) }

func (e *Entry) refreshAt(now time.Time) {
	e.apply(clockPatience, now, func(ask bool) gate.Look { return e.gate.Look(now, ask) })
}
