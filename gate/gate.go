package gate

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Gate is the named thing one switches. Safe for concurrent use; reading a
// verdict takes no lock, and rules are asked outside of every lock.
type Gate struct {
	current atomic.Pointer[Snapshot]

	mu       sync.Mutex // guards the fields below; never held while a rule is asked
	policy   Policy
	override *Override
	answers  []Answer // of the policy's conditions, by index
	turn     *byte    // another one for each policy and override
}

// Snapshot is a gate's answer between two changes. It is not modified.
type Snapshot struct {
	Verdict
	// Mode in force: the override's, else the policy's.
	Mode Mode
	// Override in force, nil without.
	Override *Override
	// Closing in force: the override's if it has one, else the policy's.
	Closing Closing
	// Rules has an entry for each open_when line.
	Rules []RuleState
	// Removed reports whether the gate has left the configuration.
	Removed bool
	// Next is when the gate has to be looked at again. Zero: nothing is due.
	Next time.Time
}

// Due reports whether the gate has to be looked at again ([Gate.Refresh]).
func (s *Snapshot) Due(now time.Time) bool { return !s.Next.IsZero() && !now.Before(s.Next) }

// RuleState is what one open_when line says.
type RuleState struct {
	Name string
	Not  bool
	// Holds is the line's answer, inversion included.
	Holds bool
	// Next is when the answer can change by the clock alone. Zero: unknown.
	Next time.Time
	// Err is set when the rule could not be read; Holds is then the last
	// known answer, false if there never was one.
	Err  error
	Rule Rule
}

// New returns a gate with a policy in force from now on.
func New(p Policy, now time.Time) *Gate {
	g := &Gate{}
	g.SetPolicy(p, now)
	return g
}

// Snapshot returns the answer in force, without a lock and without looking at
// the clock.
func (g *Gate) Snapshot() *Snapshot { return g.current.Load() }

// Policy returns the policy in force.
func (g *Gate) Policy() Policy {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.policy
}

// SetPolicy puts p in force. The override, if any, stays above it. A rule that
// says the same as one before keeps its last answer where it cannot be read.
func (g *Gate) SetPolicy(p Policy, now time.Time) (before, after *Snapshot) {
	return g.put(func() Look { return g.LookPolicy(p, now, true) }, now)
}

// SetOverride puts o in force; nil hands back to the policy.
func (g *Gate) SetOverride(o *Override, now time.Time) (before, after *Snapshot) {
	return g.put(func() Look { return g.LookOverride(o, now, true) }, now)
}

// Refresh looks at the rules and at the override's end again.
func (g *Gate) Refresh(now time.Time) (before, after *Snapshot) {
	return g.put(func() Look { return g.Look(now, true) }, now)
}

// put applies what was looked at, and looks again where something else was put
// in force meanwhile.
func (g *Gate) put(look func() Look, now time.Time) (before, after *Snapshot) {
	for {
		if before, after, ok := g.Apply(look(), now); ok {
			return before, after
		}
	}
}

// Rollback gives a state its begin back, after a policy that changed it was taken
// back: s is the snapshot of before. A state that differs from it is left alone.
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

// word is the rule as the configuration spells it, with its arguments where it
// can say them.
func (r RuleState) word() string {
	word := r.Name
	if s, ok := r.Rule.(fmt.Stringer); ok {
		word = s.String()
	}
	if r.Not {
		return "not " + word
	}
	return word
}

// zone is the one in which clients are told a time.
func (p Policy) zone() *time.Location {
	for _, c := range p.OpenWhen {
		if z, ok := c.Rule.(Zoned); ok && z.Zone() != nil {
			return z.Zone()
		}
	}
	return nil
}

// failing says why the rule keeps the gate shut.
func (r RuleState) failing() string {
	if r.Err != nil {
		return "cannot be read: " + r.Err.Error()
	}
	return "does not hold"
}

// sooner returns the earlier of two moments, where zero means never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
