package window

import "time"

// Term is a schedule. If Not is set, it is all time outside the schedule.
type Term struct {
	Schedule *Schedule
	Not      bool
}

// at reports whether the term holds, and when that changes next.
func (m Term) at(t time.Time) (holds bool, next time.Time) {
	holds, next = m.Schedule.At(t)
	return holds != m.Not, next
}

// Together reports whether all terms hold at some moment within two years from
// t on.
func Together(t time.Time, terms ...Term) bool {
	end := t.AddDate(0, 0, lookAhead)
	for t.Before(end) {
		wait := t // when the last of the terms that do not hold begins
		for _, m := range terms {
			holds, next := m.at(t)
			switch {
			case holds:
			case next.IsZero():
				return false
			case next.After(wait):
				wait = next
			}
		}
		if wait.Equal(t) {
			return true
		}
		t = wait
	}
	return false
}
