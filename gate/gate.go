package gate

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Gate is the named thing one switches. Safe for concurrent use; reading a
// verdict takes no lock.
type Gate struct {
	current atomic.Pointer[Snapshot]

	mu       sync.Mutex // guards the fields below
	policy   Policy
	override *Override
	known    []answer // the last answer of each condition, by index
}

// answer is what a condition last said.
type answer struct {
	holds bool
	ok    bool // it has ever answered
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

// SetPolicy puts p in force. The override, if any, stays above it.
func (g *Gate) SetPolicy(p Policy, now time.Time) (before, after *Snapshot) {
	if p.Mode == "" {
		p.Mode = Auto
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.policy = p
	g.known = make([]answer, len(p.OpenWhen))
	return g.settle(now)
}

// Resume gives a state its begin back, after a policy that changed it was taken
// back: s is the snapshot of before. A state that differs from it is left alone.
func (g *Gate) Resume(s *Snapshot) {
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

// SetOverride puts o in force; nil hands back to the policy.
func (g *Gate) SetOverride(o *Override, now time.Time) (before, after *Snapshot) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.override = o
	return g.settle(now)
}

// Refresh looks at the rules and at the override's end again.
func (g *Gate) Refresh(now time.Time) (before, after *Snapshot) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.settle(now)
}

// settle computes the snapshot anew. g.mu is held. before is nil the first time.
func (g *Gate) settle(now time.Time) (before, after *Snapshot) {
	if g.override != nil && g.override.Expired(now) {
		g.override = nil
	}
	after = &Snapshot{Mode: g.policy.Mode, Override: g.override, Closing: g.policy.Closing, Removed: g.policy.Removed}
	after.Rules = g.ask(now)
	if o := g.override; o != nil {
		after.Mode = o.Mode
		if o.Closing != nil {
			after.Closing = *o.Closing
		}
		after.Next = o.Expires
	}
	if after.Removed {
		after.Mode = Off
	}
	after.Verdict = g.policy.judge(after.Mode, g.override, after.Rules)
	after.Zone = g.policy.zone()
	for _, r := range after.Rules {
		after.Next = sooner(after.Next, r.Next)
	}

	before = g.current.Load()
	after.Since = now
	switch {
	case before != nil && before.Open == after.Open:
		after.Since = before.Since
	case g.override != nil && !g.override.At.IsZero() && (before == nil || before.Override != g.override):
		after.Since = g.override.At // which may have been set before a restart
	}
	if after.Since.After(now) { // the clock went back, or another node's is ahead
		after.Since = now
	}
	after.Until = g.nextState(now, after)
	g.current.Store(after)
	return before, after
}

// ask evaluates every condition, and falls back to what it last said.
func (g *Gate) ask(now time.Time) []RuleState {
	states := make([]RuleState, len(g.policy.OpenWhen))
	for i, c := range g.policy.OpenWhen {
		holds, next, err := c.Rule.Eval(now)
		if err != nil {
			holds = g.known[i].ok && g.known[i].holds
		} else {
			holds = holds != c.Not
			g.known[i] = answer{holds: holds, ok: true}
		}
		states[i] = RuleState{Name: c.Name, Not: c.Not, Holds: holds, Next: next, Err: err, Rule: c.Rule}
	}
	return states
}

// judge turns mode and rules into a verdict without its times.
func (p Policy) judge(mode Mode, o *Override, rules []RuleState) Verdict {
	if p.Removed {
		return Verdict{Cause: CauseConfig, Reason: RemovedReason}
	}
	if o != nil {
		reason := o.Reason
		if reason == "" {
			reason = "switched " + string(o.Mode)
		}
		v := Verdict{Open: o.Mode == On, Cause: CauseOverride, Reason: reason, Text: o.Reason}
		if !v.Open && v.Text == "" {
			v.Text = p.Reason
		}
		return v
	}
	if mode == On {
		return Verdict{Open: true, Cause: CauseConfig, Reason: "mode on"}
	}
	if mode == Off {
		return Verdict{Cause: CauseConfig, Reason: "mode off", Text: p.Reason}
	}
	for _, r := range rules {
		if !r.Holds {
			return Verdict{Cause: CauseRule, Reason: r.word() + " " + r.failing(), Text: p.Reason}
		}
	}
	if len(rules) > 0 {
		return Verdict{Open: true, Cause: CauseRule, Reason: "all rules hold"}
	}
	return Verdict{Open: true, Cause: CauseConfig, Reason: "no rules"}
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
