package window

import (
	"sync/atomic"
	"time"
)

// lookAhead is how many days Next searches: a little more than two years.
const lookAhead = 800

// Schedule is a set of windows. It is safe for concurrent use.
type Schedule struct {
	windows []Window
	cached  atomic.Pointer[stretch]
}

// stretch is a time during which the answer stays the same.
type stretch struct {
	from, until int64 // Unix nanoseconds, half-open
	holds       bool
	next        time.Time
}

// New returns a schedule that holds while any of the windows does.
func New(windows ...Window) *Schedule { return &Schedule{windows: windows} }

// Contains reports whether t lies in a window.
func (s *Schedule) Contains(t time.Time) bool {
	holds, _ := s.At(t)
	return holds
}

// Next returns the first moment after t at which Contains changes. Zero: it
// does not change within two years.
func (s *Schedule) Next(t time.Time) time.Time {
	_, next := s.At(t)
	return next
}

// At returns the answers of Contains and Next. A second call about the same
// stretch of time compares two numbers and allocates nothing.
func (s *Schedule) At(t time.Time) (holds bool, next time.Time) {
	now := t.UnixNano()
	if c := s.cached.Load(); c != nil && c.from <= now && now < c.until {
		return c.holds, c.next
	}
	c := s.compute(t)
	s.cached.Store(c)
	return c.holds, c.next
}

// compute finds the stretch that begins at t. The stretch is no longer than the
// days that were searched: if nothing changes in them, the answer is valid
// until their end.
func (s *Schedule) compute(t time.Time) *stretch {
	c := &stretch{from: t.UnixNano(), holds: s.contains(t)}
	end, sure := s.sweep(t, c.holds)
	if c.until = end.UnixNano(); sure {
		c.next = end
	}
	return c
}

// sweep goes through the days from t on until the answer changes, and returns
// that moment. If the answer does not change, sure is false and the moment is
// the end of the days that were searched.
func (s *Schedule) sweep(t time.Time, holds bool) (end time.Time, sure bool) {
	today := make([]Date, len(s.windows))
	for i := range s.windows {
		today[i] = dateOf(t.In(s.windows[i].Zone))
	}
	end = t
	var ahead []interval // those that end after t
	for day := -1; ; day++ {
		var seen time.Time // no later day has an interval that begins before this
		for i := range s.windows {
			w := &s.windows[i]
			ahead = w.on(today[i].next(day), ahead)
			if begin := instant(today[i].next(day+1), 0, w.Zone); seen.IsZero() || begin.Before(seen) {
				seen = begin
			}
		}
		if holds {
			end, ahead = extend(end, ahead)
		} else if begin := soonest(t, ahead); !begin.IsZero() && !begin.After(seen) {
			return begin, true
		}
		if holds && end.Before(seen) {
			return end, true
		}
		if day == lookAhead {
			return seen, false
		}
	}
}

// extend moves the end of a stretch to the end of every interval that continues
// it. It returns the intervals that may still do so.
func extend(end time.Time, ahead []interval) (time.Time, []interval) {
	for moved := true; moved; {
		moved = false
		later := ahead[:0]
		for _, v := range ahead {
			switch {
			case !v.to.After(end): // already over
			case v.from.After(end):
				later = append(later, v)
			default:
				end, moved = v.to, true
			}
		}
		ahead = later
	}
	return end, ahead
}

// soonest returns the first begin after t. Zero: none.
func soonest(t time.Time, ahead []interval) time.Time {
	var first time.Time
	for _, v := range ahead {
		if v.from.After(t) && (first.IsZero() || v.from.Before(first)) {
			first = v.from
		}
	}
	return first
}

// contains checks the windows themselves, without the cache.
func (s *Schedule) contains(t time.Time) bool {
	var room [8]interval
	for i := range s.windows {
		w := &s.windows[i]
		today := dateOf(t.In(w.Zone))
		for day := -1; day <= 0; day++ { // what begins tomorrow does not contain t
			for _, v := range w.on(today.next(day), room[:0]) {
				if !t.Before(v.from) && t.Before(v.to) {
					return true
				}
			}
		}
	}
	return false
}

func dateOf(t time.Time) Date { return Date{t.Year(), t.Month(), t.Day()} }
