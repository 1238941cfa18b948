package window

import (
	"fmt"
	"testing"
	"time"
)

// everyHour returns the whole day as windows of one hour.
func everyHour() []string {
	hours := make([]string, 24)
	for h := range hours {
		hours[h] = fmt.Sprintf("%02d:00-%02d:00", h, h+1)
	}
	return hours
}

func TestManyWindowsAroundTheClockEndOnTheDayExcepted(t *testing.T) {
	now := at(t, "UTC", "2026-01-01 00:00:00")
	s := parse(t, Spec{Hours: everyHour(), Zone: "UTC", Except: []string{"2026-12-24"}})
	if holds, next := s.At(now); !holds || !next.Equal(at(t, "UTC", "2026-12-24 00:00:00")) {
		t.Errorf("%v until %s, want until the day that is excepted", holds, next)
	}
	if s.Contains(at(t, "UTC", "2026-12-24 12:00:00")) {
		t.Error("the day excepted is in, when the year before it has been asked for")
	}
}

func TestWindowsThatFollowTheSunEndOnTheDayExcepted(t *testing.T) {
	var windows []Window
	for _, zone := range []string{"Asia/Tokyo", "Asia/Kolkata", "Europe/Berlin", "America/New_York", "America/Los_Angeles"} {
		w, err := Parse(Spec{Hours: []string{"08:00-18:00"}, Zone: zone, Except: []string{"2026-12-24..2026-12-27"}})
		if err != nil {
			t.Fatal(err)
		}
		windows = append(windows, w)
	}
	s := New(windows...)
	holds, next := s.At(at(t, "UTC", "2026-01-02 00:00:00"))
	if want := at(t, "America/Los_Angeles", "2026-12-23 18:00:00"); !holds || !next.Equal(want) {
		t.Errorf("%v until %s, want until %s", holds, next, want)
	}
	if s.Contains(at(t, "UTC", "2026-12-26 12:00:00")) {
		t.Error("a day that every window excepts is in")
	}
	if holds, next = s.At(next); holds || !next.Equal(at(t, "Asia/Tokyo", "2026-12-28 08:00:00")) {
		t.Errorf("on the first of the days: %v until %s", holds, next)
	}
}

// TestWhatIsCachedIsNoLongerThanWhatWasLookedAt asks a schedule about moments
// that are far apart, forwards and backwards, and compares it with a new one.
func TestWhatIsCachedIsNoLongerThanWhatWasLookedAt(t *testing.T) {
	begin := at(t, "UTC", "2026-01-01 00:00:00")
	for name, spec := range map[string]Spec{
		"always, and a day in three years":   {Hours: []string{"00:00-24:00"}, Except: []string{"2029-03-01"}},
		"each hour, and days in three years": {Hours: everyHour(), Except: []string{"2028-09-01..2028-09-10"}},
		"not for three years":                {Hours: []string{"09:00-18:00"}, Except: []string{"2025-01-01..2029-03-01"}},
		"two exceptions":                     {Hours: []string{"00:00-24:00"}, Except: []string{"2026-07-01", "2028-03-12"}},
	} {
		t.Run(name, func(t *testing.T) {
			spec.Zone = "UTC"
			for _, step := range []time.Duration{5*24*time.Hour + time.Hour, -131 * time.Hour, 400 * 24 * time.Hour} {
				s, now := parse(t, spec), begin
				if step < 0 {
					now = begin.AddDate(4, 0, 0)
				}
				for !now.Before(begin) && now.Before(begin.AddDate(4, 0, 1)) {
					if got := s.Contains(now); got != parse(t, spec).contains(now) {
						t.Fatalf("%s in steps of %s: %v", now, step, got)
					}
					now = now.Add(step)
				}
			}
		})
	}
}

func TestNextIsFoundForTwoYears(t *testing.T) {
	now := at(t, "UTC", "2026-01-01 00:00:00")
	for date, found := range map[string]bool{"2027-12-31": true, "2028-03-01": true, "2028-04-01": false} {
		holds, next := parse(t, Spec{Hours: everyHour(), Zone: "UTC", Except: []string{date}}).At(now)
		if !holds || next.IsZero() == found || found && !next.Equal(at(t, "UTC", date+" 00:00:00")) {
			t.Errorf("%s: %v until %s", date, holds, next)
		}
	}
}

func BenchmarkAroundTheClock(b *testing.B) {
	w, err := Parse(Spec{Hours: everyHour(), Zone: "Asia/Tokyo"})
	if err != nil {
		b.Fatal(err)
	}
	now := at(b, "UTC", "2026-11-24 03:00:00")
	for b.Loop() {
		New(w).At(now)
	}
}
