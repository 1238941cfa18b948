package window

import (
	"cmp"
	"time"
)

// Window is one line of a schedule.
type Window struct {
	// Spans are parts of a day.
	Spans []Span
	// Days are the days on which spans begin, by time.Weekday.
	Days [7]bool
	// Zone is the time zone of spans, days and dates.
	Zone *time.Location
	// Except are dates on which no span begins.
	Except []DateRange
}

// Span is a part of a day, in minutes since midnight. To is at most 1440. If To
// <= From, the span ends on the next day.
type Span struct{ From, To int }

// Date is a day in a calendar.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// DateRange is the days from From to To, both included.
type DateRange struct{ From, To Date }

func (d Date) before(o Date) bool {
	return cmp.Or(cmp.Compare(d.Year, o.Year), cmp.Compare(d.Month, o.Month), cmp.Compare(d.Day, o.Day)) < 0
}

// next returns the day n days later.
func (d Date) next(n int) Date {
	t := time.Date(d.Year, d.Month, d.Day+n, 12, 0, 0, 0, time.UTC)
	return Date{t.Year(), t.Month(), t.Day()}
}

func (d Date) weekday() time.Weekday {
	return time.Date(d.Year, d.Month, d.Day, 12, 0, 0, 0, time.UTC).Weekday()
}

// begins reports whether spans begin on day d.
func (w *Window) begins(d Date) bool {
	if !w.Days[d.weekday()] {
		return false
	}
	for _, r := range w.Except {
		if !d.before(r.From) && !r.To.before(d) {
			return false
		}
	}
	return true
}

// interval is a stretch of time: from is included, to is not.
type interval struct{ from, to time.Time }

// on adds the intervals that begin on day d.
func (w *Window) on(d Date, all []interval) []interval {
	if !w.begins(d) {
		return all
	}
	for _, s := range w.Spans {
		end := d
		if s.To <= s.From {
			end = d.next(1)
		}
		from, to := instant(d, s.From, w.Zone), instant(end, s.To, w.Zone)
		if from.Before(to) { // a span inside a gap lasts no time
			all = append(all, interval{from, to})
		}
	}
	return all
}

// instant returns the moment at which the clocks of a zone show a minute of a
// day. If they show it twice, it is the first of the two moments. If they never
// show it, it is the first moment after the gap.
func instant(d Date, minute int, zone *time.Location) time.Time {
	wall := time.Date(d.Year, d.Month, d.Day, 0, minute, 0, 0, time.UTC)
	_, before := wall.Add(-26 * time.Hour).In(zone).Zone()
	_, after := wall.Add(26 * time.Hour).In(zone).Zone()
	early, late := wall.Add(-time.Duration(max(before, after))*time.Second), wall.Add(-time.Duration(min(before, after))*time.Second)
	for _, t := range []time.Time{early, late} {
		if shows(t, wall, zone) {
			return t.In(zone)
		}
	}
	begin, _ := late.In(zone).ZoneBounds()
	if begin.IsZero() {
		return late.In(zone)
	}
	return begin.In(zone)
}

// shows reports whether the clocks of a zone show wall at t.
func shows(t, wall time.Time, zone *time.Location) bool {
	_, offset := t.In(zone).Zone()
	return t.Add(time.Duration(offset) * time.Second).Equal(wall)
}
