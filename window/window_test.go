package window

import (
	"strings"
	"testing"
	"time"
)

func parse(t testing.TB, s Spec) *Schedule {
	t.Helper()
	w, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return New(w)
}

func at(t testing.TB, zone, text string) time.Time {
	t.Helper()
	loc, err := ParseZone(zone)
	if err != nil {
		t.Fatal(err)
	}
	tm, err := time.ParseInLocation("2006-01-02 15:04:05", text, loc)
	if err != nil {
		t.Fatal(err)
	}
	return tm
}

func TestWindowsContainWhatTheySay(t *testing.T) {
	office := Spec{Hours: []string{"09:00-18:00"}, Days: []string{"mon-fri"}, Zone: "UTC"}
	night := Spec{Hours: []string{"22:00-06:00"}, Days: []string{"fri"}, Zone: "UTC", Except: []string{"2026-11-27"}}
	tests := []struct {
		name string
		spec Spec
		at   string
		want bool
	}{
		{"the first moment is in", office, "2026-11-24 09:00:00", true},
		{"the last second is in", office, "2026-11-24 17:59:59", true},
		{"the end is out", office, "2026-11-24 18:00:00", false},
		{"before the begin", office, "2026-11-24 08:59:59", false},
		{"another day", office, "2026-11-22 12:00:00", false},
		{"overnight on its day", night, "2026-11-20 23:00:00", true},
		{"overnight runs into the next day", night, "2026-11-21 05:59:59", true},
		{"and ends there", night, "2026-11-21 06:00:00", false},
		{"the morning of its day belongs to the day before", night, "2026-11-20 05:00:00", false},
		{"an excepted day", night, "2026-11-27 23:00:00", false},
		{"an excepted day's next morning", night, "2026-11-28 05:00:00", false},
		{"until midnight", Spec{Hours: []string{"20:00-24:00"}, Zone: "UTC"}, "2026-11-24 23:59:59", true},
		{"not after midnight", Spec{Hours: []string{"20:00-24:00"}, Zone: "UTC"}, "2026-11-25 00:00:00", false},
		{"the whole day", Spec{Hours: []string{"00:00-24:00"}, Zone: "UTC"}, "2026-11-25 00:00:00", true},
		{"several hours", Spec{Hours: []string{"08:00-12:00", "13:00-17:00"}, Zone: "UTC"}, "2026-11-24 12:30:00", false},
		{"days that wrap around", Spec{Hours: []string{"08:00-12:00"}, Days: []string{"sat-mon"}, Zone: "UTC"}, "2026-11-22 09:00:00", true},
		{"a list of days", Spec{Hours: []string{"08:00-12:00"}, Days: []string{"tue,thu"}, Zone: "UTC"}, "2026-11-25 09:00:00", false},
		{"a range of exceptions, its last day", Spec{Hours: []string{"08:00-12:00"}, Zone: "UTC", Except: []string{"2026-12-24..2027-01-01"}}, "2027-01-01 09:00:00", false},
		{"and the day after", Spec{Hours: []string{"08:00-12:00"}, Zone: "UTC", Except: []string{"2026-12-24..2027-01-01"}}, "2027-01-02 09:00:00", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := parse(t, tt.spec).Contains(at(t, "UTC", tt.at)); got != tt.want {
				t.Errorf("at %s: %v, want %v", tt.at, got, tt.want)
			}
		})
	}
}

// TestClocksSetForwardAndBack checks the definition in doc.go in three zones,
// and in one whose clocks change by half an hour.
func TestClocksSetForwardAndBack(t *testing.T) {
	tests := []struct{ name, zone, hours, day, from, to string }{
		{"Berlin, begin in the gap", "Europe/Berlin", "02:30-04:00", "2026-03-29", "2026-03-29 01:00:00", "2026-03-29 02:00:00"},
		{"Berlin, end in the gap", "Europe/Berlin", "01:00-02:30", "2026-03-29", "2026-03-29 00:00:00", "2026-03-29 01:00:00"},
		{"Berlin, begin twice", "Europe/Berlin", "02:30-04:00", "2026-10-25", "2026-10-25 00:30:00", "2026-10-25 03:00:00"},
		{"Berlin, end twice", "Europe/Berlin", "01:00-02:30", "2026-10-25", "2026-10-24 23:00:00", "2026-10-25 00:30:00"},
		{"Berlin, a day of 23 hours", "Europe/Berlin", "00:00-24:00", "2026-03-29", "2026-03-28 23:00:00", "2026-03-29 22:00:00"},
		{"New York, begin in the gap", "America/New_York", "02:15-05:00", "2026-03-08", "2026-03-08 07:00:00", "2026-03-08 09:00:00"},
		{"New York, begin twice", "America/New_York", "01:30-05:00", "2026-11-01", "2026-11-01 05:30:00", "2026-11-01 10:00:00"},
		{"Sydney, begin in the gap", "Australia/Sydney", "02:30-06:00", "2026-10-04", "2026-10-03 16:00:00", "2026-10-03 19:00:00"},
		{"Sydney, end twice", "Australia/Sydney", "00:00-02:30", "2026-04-05", "2026-04-04 13:00:00", "2026-04-04 15:30:00"},
		{"Lord Howe, half an hour", "Australia/Lord_Howe", "02:10-04:00", "2026-10-04", "2026-10-03 15:30:00", "2026-10-03 17:00:00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			day, err := parseDate(tt.day)
			if err != nil {
				t.Fatal(err)
			}
			w, err := Parse(Spec{Hours: []string{tt.hours}, Zone: tt.zone})
			if err != nil {
				t.Fatal(err)
			}
			v := w.on(day, nil)
			if len(v) != 1 || !v[0].from.Equal(at(t, "UTC", tt.from)) || !v[0].to.Equal(at(t, "UTC", tt.to)) {
				t.Errorf("got %v, want %s to %s UTC", v, tt.from, tt.to)
			}
		})
	}
}

func TestWindowInsideAGapIsNoTimeAtAll(t *testing.T) {
	s := parse(t, Spec{Hours: []string{"02:10-02:50"}, Zone: "Europe/Berlin"})
	for m := range 24 * 60 {
		if now := at(t, "UTC", "2026-03-28 23:00:00").Add(time.Duration(m) * time.Minute); s.Contains(now) && now.In(time.UTC).Day() == 29 && m < 22*60 {
			t.Fatalf("holds at %s", now)
		}
	}
}

// TestNextAgreesWithLooking compares Next with a check of every minute, in the
// weeks in which clocks change.
func TestNextAgreesWithLooking(t *testing.T) {
	specs := []Spec{
		{Hours: []string{"09:00-18:00"}, Days: []string{"mon-fri"}},
		{Hours: []string{"22:00-06:00"}, Days: []string{"fri,sat"}},
		{Hours: []string{"02:30-03:30", "01:15-02:15"}},
		{Hours: []string{"00:00-24:00"}, Days: []string{"sun"}},
		{Hours: []string{"12:00-24:00", "00:00-06:00"}, Except: []string{"2026-03-30", "2026-10-24..2026-10-26"}},
	}
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Sydney", "Australia/Lord_Howe", "UTC"} {
		for _, begin := range []string{"2026-03-27 00:00:00", "2026-04-03 00:00:00", "2026-10-01 00:00:00", "2026-10-23 00:00:00", "2026-10-30 00:00:00"} {
			for _, spec := range specs {
				spec.Zone = zone
				s, fresh := parse(t, spec), parse(t, spec) // fresh is asked without its cache
				now := at(t, "UTC", begin)
				holds, next := s.At(now)
				for range 5 * 24 * 60 {
					now = now.Add(time.Minute)
					if got := fresh.contains(now); got != holds {
						if !next.Equal(now) {
							t.Fatalf("%s %v: changes at %s, Next said %s", zone, spec.Hours, now, next)
						}
						holds, next = s.At(now)
					} else if !next.IsZero() && !now.Before(next) {
						t.Fatalf("%s %v: Next said %s, and nothing changed until %s", zone, spec.Hours, next, now)
					}
				}
			}
		}
	}
}

func TestSeveralWindowsAreOne(t *testing.T) {
	a, _ := Parse(Spec{Hours: []string{"09:00-12:00"}, Zone: "UTC"})
	b, _ := Parse(Spec{Hours: []string{"12:00-15:00"}, Zone: "UTC"})
	now := at(t, "UTC", "2026-11-24 10:00:00")
	if holds, next := New(a, b).At(now); !holds || !next.Equal(at(t, "UTC", "2026-11-24 15:00:00")) {
		t.Errorf("%v until %s, want until the second window's end", holds, next)
	}
}

func TestAlwaysAndNever(t *testing.T) {
	now := at(t, "UTC", "2026-11-24 10:00:00")
	if holds, next := parse(t, Spec{Hours: []string{"00:00-24:00"}, Zone: "UTC"}).At(now); !holds || !next.IsZero() {
		t.Errorf("always: %v, %s", holds, next)
	}
	if holds, next := parse(t, Spec{Hours: []string{"09:00-18:00"}, Zone: "UTC", Except: []string{"2026-01-01..2036-01-01"}}).At(now); holds || !next.IsZero() {
		t.Errorf("not for ten years: %v, %s", holds, next)
	}
}

func TestImpossibleInputIsRefusedWithWhatWouldBeRight(t *testing.T) {
	good := []string{"09:00-18:00"}
	tests := []struct {
		name string
		spec Spec
		want string
	}{
		{"no hours", Spec{}, "want at least one HH:MM-HH:MM"},
		{"no range", Spec{Hours: []string{"09:00"}}, `hours "09:00": want HH:MM-HH:MM`},
		{"one digit", Spec{Hours: []string{"9:00-18:00"}}, `hours "9:00-18:00": want 09:00-18:00`},
		{"hour 25", Spec{Hours: []string{"09:00-25:00"}}, "want 00:00 to 23:59"},
		{"minute 60", Spec{Hours: []string{"09:00-10:60"}}, "want 00:00 to 23:59"},
		{"24:30", Spec{Hours: []string{"09:00-24:30"}}, "want 00:00 to 23:59"},
		{"begins at 24:00", Spec{Hours: []string{"24:00-06:00"}}, "cannot begin at 24:00"},
		{"no time at all", Spec{Hours: []string{"09:00-09:00"}}, "for the whole day want 00:00-24:00"},
		{"letters", Spec{Hours: []string{"ab:cd-18:00"}}, "want HH:MM"},
		{"a sign", Spec{Hours: []string{"+9:00-18:00"}}, "want HH:MM"},
		{"unknown day", Spec{Hours: good, Days: []string{"mondax,x"}}, "want mon, tue, wed"},
		{"half a range of days", Spec{Hours: good, Days: []string{"mon-"}}, "want mon, tue, wed"},
		{"unknown zone", Spec{Hours: good, Zone: "Europe/Berln"}, "want an IANA name such as Europe/Berlin"},
		{"a date that is none", Spec{Hours: good, Except: []string{"2026-02-30"}}, "want a date that exists"},
		{"a range that ends before it begins", Spec{Hours: good, Except: []string{"2027-01-01..2026-12-24"}}, "want 2026-12-24..2027-01-01"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse(tt.spec); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAskingAgainAllocatesNothing(t *testing.T) {
	s := parse(t, Spec{Hours: []string{"09:00-18:00"}, Days: []string{"mon-fri"}, Zone: "Asia/Tokyo"})
	now := at(t, "UTC", "2026-11-24 03:00:00")
	s.Contains(now)
	if n := testing.AllocsPerRun(100, func() { s.Contains(now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("09:00-18:00", "mon-fri", "UTC", "2026-12-24..2027-01-01")
	f.Add("22:00-06:00", "sat,sun", "Europe/Berlin", "2026-12-24")
	f.Fuzz(func(t *testing.T, hours, days, zone, except string) {
		w, err := Parse(Spec{Hours: []string{hours}, Days: []string{days}, Zone: zone, Except: []string{except}})
		if err != nil {
			return
		}
		now := at(t, "UTC", "2026-11-24 03:00:00")
		if holds, next := New(w).At(now); !next.IsZero() && (!next.After(now) || New(w).Contains(next) == holds) {
			t.Errorf("%v, and at %s the same", holds, next)
		}
	})
}

func BenchmarkContains(b *testing.B) {
	s := parse(b, Spec{Hours: []string{"09:00-18:00"}, Days: []string{"mon-fri"}, Zone: "Asia/Tokyo"})
	now := at(b, "UTC", "2026-11-24 03:00:00")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.Contains(now)
		}
	})
}
