package registry

import (
	"sync/atomic"
	"time"

	"github.com/wsgate/wsgate/gate"
)

// setPolicy puts a policy in force. It follows the new rules before it asks
// them, so that it misses no change.
func (e *Entry) setPolicy(p gate.Policy, now time.Time) {
	e.follow.rules(p)
	e.apply(policyPatience, now, func(ask bool) gate.Look { return e.gate.LookPolicy(p, now, ask) })
}

const (
	// How long rules may take to answer after a new policy, for the clock, and
	// for a switch. After that, their last answers count. When they answer, the
	// gate is refreshed.
	policyPatience = time.Second
	clockPatience  = 250 * time.Millisecond
	switchPatience = 25 * time.Millisecond
)

// look asks the rules of the gate and returns the result. Only one look is
// under way at a time. If the rules do not answer in time, or an earlier look
// still waits for them, their last answers count.
func (e *Entry) look(patience time.Duration, do func(ask bool) gate.Look) gate.Look {
	if e.rulesSilent.Load() {
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
	var state atomic.Int32 // 0: it is waited for; 1: it came in time; 2: it came too late
	go func() {
		l := do(true)
		if !state.CompareAndSwap(0, 1) {
			e.rulesSilent.Store(false)
			e.follow.refreshSoon() // the rules answer again
		}
		<-e.looking
		answer <- l
	}()
	select {
	case l := <-answer:
		return l
	case <-limit.C:
	}
	e.rulesSilent.Store(true) // set before state is known: an answer that comes just now clears it
	if !state.CompareAndSwap(0, 2) {
		e.rulesSilent.Store(false)
		return <-answer
	}
	return do(false)
}

// apply looks at the gate, puts the result in force, and applies the effects.
func (e *Entry) apply(patience time.Duration, now time.Time, do func(ask bool) gate.Look) {
	for {
		l := e.look(patience, do)
		e.changing.Lock()
		before, after, ok := e.gate.Apply(l, now)
		if ok {
			e.handleChange(before, after, now)
		}
		e.changing.Unlock()
		if ok {
			return
		}
	}
}

// refresh looks at the gate again, because the clock or a rule may have changed
// it.
func (e *Entry) refresh() { e.refreshAt(time.Now()) }

func (e *Entry) refreshAt(now time.Time) {
	e.apply(clockPatience, now, func(ask bool) gate.Look { return e.gate.Look(now, ask) })
}
