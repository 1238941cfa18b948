package window

import (
	"sync/atomic"
	"time"
)

// lookAhead is how many days Next looks at: two years and a little.
const lookAhead = 800

// Schedule is any of several windows. Safe for concurrent use.
type Schedule struct {
	windows []Window
	cached  atomic.Pointer[stretch]
}

// stretch is a time in which the answer stays the same.
type stretch struct {
	from, until int64 // Unix nanoseconds; until 0: no end is known
	holds       bool
	next        time.Time
}

// New returns a schedule that holds within any of the windows.
func New(windows ...Window) *Schedule { return &Schedule{windows: windows} }

// Contains reports whether t lies in a window.
func (s *Schedule) Contains(t time.Time) bool {
	holds, _ := s.At(t)
	return holds
}

// Next returns the first moment after t at which Contains changes, zero if it
// does not within two years.
func (s *Schedule) Next(t time.Time) time.Time {
	_, next := s.At(t)
	return next
}

// At returns both answers. Asked again about the same stretch of time it
// compares two numbers and allocates nothing.
func (s *Schedule) At(t time.Time) (holds bool, next time.Time) {
	now := t.UnixNano()
	if c := s.cached.Load(); c != nil && c.from <= now && (c.until == 0 || now < c.until) {
		return c.holds, c.next
	}
	c := s.compute(t)
	s.cached.Store(c)
	return c.holds, c.next
}

// compute finds the stretch that t begins.
func (s *Schedule) compute(t time.Time) *stretch {
	c := &stretch{from: t.UnixNano(), holds: s.contains(t)}
	at := t
	for range lookAhead * 4 {
		edge := s.edge(at)
		if edge.IsZero() {
			// Nothing in sight: look again in a while, for dates far ahead.
			c.until = t.AddDate(1, 0, 0).UnixNano()
			return c
		}
		if s.contains(edge) != c.holds {
			c.next, c.until = edge, edge.UnixNano()
			return c
		}
		at = edge
	}
	c.until = t.AddDate(1, 0, 0).UnixNano()
	return c
}

// contains looks at the windows themselves.
func (s *Schedule) contains(t time.Time) bool {
	var room [8]interval
	for i := range s.windows {
		w := &s.windows[i]
		today := dateOf(t.In(w.Zone))
		for day := -1; day <= 1; day++ {
			for _, v := range w.on(today.next(day), room[:0]) {
				if !t.Before(v.from) && t.Before(v.to) {
					return true
				}
			}
		}
	}
	return false
}

// edge returns the first begin or end of any window after t.
func (s *Schedule) edge(t time.Time) time.Time {
	var first time.Time
	for i := range s.windows {
		if e := s.windows[i].edge(t); !e.IsZero() && (first.IsZero() || e.Before(first)) {
			first = e
		}
	}
	return first
}

func (w *Window) edge(t time.Time) time.Time {
	var room [8]interval
	var first time.Time
	today := dateOf(t.In(w.Zone))
	for day := -1; day <= lookAhead; day++ {
		for _, v := range w.on(today.next(day), room[:0]) {
			for _, e := range [...]time.Time{v.from, v.to} {
				if e.After(t) && (first.IsZero() || e.Before(first)) {
					first = e
				}
			}
		}
		if !first.IsZero() && day >= 1 {
			return first
		}
	}
	return first
}

func dateOf(t time.Time) Date { return Date{t.Year(), t.Month(), t.Day()} }
