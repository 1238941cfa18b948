package gate

import (
	"slices"
	"time"
)

// maxSteps limits the search for the next change of state: four months of a
// window that opens and closes twice a day. What is further away is unknown.
const maxSteps = 512

// horizon limits the search in time: nobody asks about the next century.
const horizon = 366 * 24 * time.Hour

// nextState returns the first moment after now at which the state (open or
// closed) differs from the snapshot's. It knows only changes by the clock: it
// expects a rule that changes when somebody acts to stay as it is. Zero: never,
// or unknown.
func (l *Look) nextState(now time.Time) time.Time {
	s := l.snapshot
	at, override, answers := now, s.Override, l.answers
	limit := now.Add(horizon)
	mode := l.policy.Mode
	if mode == "" {
		mode = Auto
	}
	if l.policy.Removed || override == nil && staysClosed(answers) {
		return time.Time{}
	}
	for range maxSteps {
		var next time.Time
		if override != nil {
			next = override.Expires // the rules do not matter until then
		} else if mode == Auto {
			for _, a := range answers {
				next = earlier(next, a.Next)
			}
		}
		if next.IsZero() || !next.After(at) || next.After(limit) {
			return time.Time{}
		}
		at = next
		if override != nil && override.Expired(at) {
			override = nil
		}
		answers = l.answersAt(at, answers)
		if Decide(l.policy, override, answers, at).Open != s.Open {
			return at
		}
	}
	return time.Time{}
}

// staysClosed reports whether the gate stays closed because of a rule that no
// clock changes.
func staysClosed(answers []Answer) bool {
	return slices.ContainsFunc(answers, func(a Answer) bool { return !a.Holds && a.Next.IsZero() })
}

// answersAt evaluates the conditions at a later moment, and does not keep the
// answers.
func (l *Look) answersAt(at time.Time, last []Answer) []Answer {
	answers := make([]Answer, len(last))
	for i, c := range l.policy.OpenWhen {
		answers[i] = c.ask(at, last[i])
	}
	return answers
}
