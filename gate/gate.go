package gate

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Gate is a named gate that an operator can switch. It is safe for concurrent
// use. Reading a verdict takes no lock, and rules are asked outside of every
// lock.
type Gate struct {
	current atomic.Pointer[Snapshot]

	mu       sync.Mutex // guards the fields below; never held while a rule is asked
	policy   Policy
	override *Override
	answers  []Answer // of the policy's conditions, by index
	version  uint64   // counts what was put in force
}

// Snapshot is a gate's answer between two changes. It is never modified.
type Snapshot struct {
	Verdict
	// Mode is the mode in force: the override's, else the policy's.
	Mode Mode
	// Override is the override in force. Nil: none.
	Override *Override
	// Closing is the one in force: the override's if it has one, else the
	// policy's.
	Closing Closing
	// Rules has an entry for each open_when line.
	Rules []RuleState
	// Removed reports whether the gate has left the configuration.
	Removed bool
	// Next is when the gate must be refreshed. Zero: nothing is due.
	Next time.Time
}

// Due reports whether the gate must be refreshed ([Gate.Refresh]).
func (s *Snapshot) Due(now time.Time) bool { return !s.Next.IsZero() && !now.Before(s.Next) }

// RuleState is the answer of one open_when line.
type RuleState struct {
	Name string
	Not  bool
	// Holds is the line's answer, inversion included.
	Holds bool
	// Next is when the answer can change by the clock alone. Zero: unknown.
	Next time.Time
	// Err is set when the rule could not be read. Holds is then the last known
	// answer, or false if there never was one.
	Err  error
	Rule Rule
}

// New returns a gate whose policy is in force from now on.
func New(p Policy, now time.Time) *Gate {
	g := &Gate{}
	g.SetPolicy(p, now)
	return g
}

// Snapshot returns the answer in force. It takes no lock and reads no clock.
func (g *Gate) Snapshot() *Snapshot { return g.current.Load() }

// Policy returns the policy in force.
func (g *Gate) Policy() Policy {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.policy
}

// SetPolicy puts p in force. An override stays above it. A rule that was in the
// policy before keeps its last answer while it cannot be read.
func (g *Gate) SetPolicy(p Policy, now time.Time) (before, after *Snapshot) {
	return g.putInForce(func() Look { return g.LookPolicy(p, now, true) }, now)
}

// SetOverride puts o in force. Nil removes the override: the gate follows its
// policy again.
func (g *Gate) SetOverride(o *Override, now time.Time) (before, after *Snapshot) {
	return g.putInForce(func() Look { return g.LookOverride(o, now, true) }, now)
}

// Refresh asks the rules again, and checks whether the override has ended.
func (g *Gate) Refresh(now time.Time) (before, after *Snapshot) {
	return g.putInForce(func() Look { return g.Look(now, true) }, now)
}

// putInForce applies a look. It looks again if another look was put in force
// meanwhile.
func (g *Gate) putInForce(look func() Look, now time.Time) (before, after *Snapshot) {
	for {
		if before, after, ok := g.Apply(look(), now); ok {
			return before, after
		}
	}
}

// Rollback restores the time at which a state began, after a policy was taken
// back. s is the snapshot from before that policy. If the state now differs
// from the one in s, Rollback does nothing.
func (g *Gate) Rollback(s *Snapshot) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.current.Load()
	if now.Open != s.Open {
		return
	}
	again := *now
	again.Since = s.Since
	g.current.Store(&again)
}

// text returns the rule as the configuration has it, with its arguments if the
// rule is a fmt.Stringer.
func (r RuleState) text() string {
	word := r.Name
	if s, ok := r.Rule.(fmt.Stringer); ok {
		word = s.String()
	}
	if r.Not {
		return "not " + word
	}
	return word
}

// zone returns the time zone for times in public text: that of the first rule
// with a zone. Nil: no rule has one.
func (p Policy) zone() *time.Location {
	for _, c := range p.OpenWhen {
		if z, ok := c.Rule.(Zoned); ok && z.Zone() != nil {
			return z.Zone()
		}
	}
	return nil
}

// failure returns why the rule keeps the gate closed.
func (r RuleState) failure() string {
	if r.Err != nil {
		return "cannot be read: " + r.Err.Error()
	}
	return "does not hold"
}

// earlier returns the earlier of two moments. Zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
