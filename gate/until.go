package gate

import (
	"slices"
	"time"
)

// maxSteps bounds the search for the next change of state: four months of a
// window that opens and shuts twice a day. What is further off is not known.
const maxSteps = 512

// horizon bounds it in time: who asks "until when" does not mean next century.
const horizon = 366 * 24 * time.Hour

// nextState returns the first moment after now at which the state (open or
// closed) differs from s, going by the clock alone: rules that change when
// somebody acts are taken to stay as they are. Zero: never, or not known.
// g.mu is held.
func (g *Gate) nextState(now time.Time, s *Snapshot) time.Time {
	at, override, rules := now, s.Override, s.Rules
	limit := now.Add(horizon)
	if g.policy.Removed || override == nil && g.policy.Mode == Auto && hopeless(rules) {
		return time.Time{}
	}
	for range maxSteps {
		var next time.Time
		if override != nil {
			next = override.Expires // until then rules say nothing
		} else if g.policy.Mode == Auto {
			for _, r := range rules {
				next = sooner(next, r.Next)
			}
		}
		if next.IsZero() || !next.After(at) || next.After(limit) {
			return time.Time{}
		}
		at = next
		if override != nil && override.Expired(at) {
			override = nil
		}
		rules = g.foresee(at, rules)
		mode := g.policy.Mode
		if override != nil {
			mode = override.Mode
		}
		if g.policy.judge(mode, override, rules).Open != s.Open {
			return at
		}
	}
	return time.Time{}
}

// hopeless reports whether a rule keeps the gate shut that no clock changes.
func hopeless(rules []RuleState) bool {
	return slices.ContainsFunc(rules, func(r RuleState) bool { return !r.Holds && r.Next.IsZero() })
}

// foresee evaluates the conditions at a later moment, without remembering it.
func (g *Gate) foresee(at time.Time, last []RuleState) []RuleState {
	states := make([]RuleState, len(last))
	for i, c := range g.policy.OpenWhen {
		states[i] = last[i]
		holds, next, err := c.Rule.Eval(at)
		states[i].Next = next
		if err == nil {
			states[i].Holds = holds != c.Not
		}
	}
	return states
}
