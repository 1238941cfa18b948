package gate

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Look is what would be in force after a change or a refresh of a gate. It is
// made without a lock, and [Gate.Apply] puts it in force.
type Look struct {
	version  uint64
	policy   Policy
	override *Override
	answers  []Answer
	snapshot *Snapshot
}

// errNotAsked is the error of a rule that has never answered in time.
var errNotAsked = errors.New("it has not answered yet")

// Look looks at the policy and the override in force. If ask is set it asks the
// rules, which may take any time; otherwise their last answers are used.
func (g *Gate) Look(now time.Time, ask bool) Look {
	l := g.lookInForce()
	l.evaluate(now, ask)
	return l
}

// LookOverride is Look as if o were in force. Nil: no override.
func (g *Gate) LookOverride(o *Override, now time.Time, ask bool) Look {
	l := g.lookInForce()
	l.override = o
	l.evaluate(now, ask)
	return l
}

// LookPolicy is Look as if p were in force. A rule that is also in the policy
// in force keeps its last answer.
func (g *Gate) LookPolicy(p Policy, now time.Time, ask bool) Look {
	l := g.lookInForce()
	before, known := l.policy.OpenWhen, l.answers
	l.policy, l.answers = p, make([]Answer, len(p.OpenWhen))
	for i, c := range p.OpenWhen {
		if at := slices.IndexFunc(before, c.sameAs); at >= 0 {
			l.answers[i] = known[at]
		}
	}
	l.evaluate(now, ask)
	return l
}

// lookInForce returns a look at what is in force, without a snapshot.
func (g *Gate) lookInForce() Look {
	g.mu.Lock()
	defer g.mu.Unlock()
	return Look{version: g.version, policy: g.policy, override: g.override, answers: g.answers}
}

// Fits reports whether l can still be put in force: no other look was put in
// force after it was made.
func (g *Gate) Fits(l Look) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return l.version == g.version
}

// Apply puts a look in force. ok is false if another look was put in force
// after this one was made: look again. before is nil the first time.
func (g *Gate) Apply(l Look, now time.Time) (before, after *Snapshot, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l.version != g.version {
		return nil, nil, false
	}
	after = l.snapshot
	g.policy, g.answers = l.policy, l.answers
	g.override = after.Override // nil once its end has come
	g.version++
	before = g.current.Load()
	after.Since = now
	switch {
	case before != nil && before.Open == after.Open:
		after.Since = before.Since
	case g.override != nil && !g.override.At.IsZero() && (before == nil || before.Override != g.override):
		after.Since = g.override.At // it may have been set before a restart
	}
	if after.Since.After(now) { // the clock went back, or another node's clock is ahead
		after.Since = now
	}
	g.current.Store(after)
	return before, after, true
}

// evaluate makes the snapshot of the look. It asks the rules if ask is set, and
// finds out how long the state lasts.
func (l *Look) evaluate(now time.Time, ask bool) {
	l.answers = slices.Clone(l.answers)
	for i, c := range l.policy.OpenWhen {
		switch {
		case ask:
			l.answers[i] = c.ask(now, l.answers[i])
		case !l.answers[i].Known && l.answers[i].Err == nil:
			l.answers[i].Err = errNotAsked
		}
	}
	l.snapshot = Decide(l.policy, l.override, l.answers, now)
	if ask || l.snapshot.Override != nil && l.snapshot.Override.Expires.IsZero() {
		l.snapshot.Until = l.nextState(now)
	}
}

// ask asks a condition. If it cannot be read, its last answer stays.
func (c Condition) ask(now time.Time, last Answer) Answer {
	holds, next, err := c.Rule.Eval(now)
	if err != nil {
		return Answer{Holds: last.Holds, Known: last.Known, Next: next, Err: err}
	}
	return Answer{Holds: holds != c.Not, Known: true, Next: next}
}

// sameAs reports whether two conditions are the same. Each configuration has
// rule values of its own, so rules that are a fmt.Stringer are compared by
// their text.
func (c Condition) sameAs(o Condition) bool {
	if c.Name != o.Name || c.Not != o.Not {
		return false
	}
	a, aIsText := c.Rule.(fmt.Stringer)
	b, bIsText := o.Rule.(fmt.Stringer)
	if aIsText && bIsText {
		return a.String() == b.String()
	}
	return equal(c.Rule, o.Rule)
}

// equal compares two rules. Rules of a type that cannot be compared are not
// equal.
func equal(a, b Rule) (same bool) {
	defer func() {
		if recover() != nil {
			same = false
		}
	}()
	return a == b
}
