package gate

import (
	"testing"
	"time"
)

func TestSinceIsTheBeginOfTheState(t *testing.T) {
	after := func(hours int) time.Time { return start.Add(time.Duration(hours) * time.Hour) }
	g := New(Policy{}, start)
	first := g.Snapshot()
	for _, step := range []struct {
		name  string
		do    func()
		since time.Time
	}{
		{"a switch that was read after a restart", func() { g.SetOverride(&Override{Mode: Off, At: after(-5)}, after(1)) }, after(-5)},
		{"another one that is closed, too", func() { g.SetOverride(&Override{Mode: Off, At: after(2)}, after(2)) }, after(-5)},
		{"a switch to on", func() { g.SetOverride(&Override{Mode: On, At: after(3)}, after(3)) }, after(3)},
		{"a gate that is removed under its switch", func() { g.SetPolicy(Policy{Removed: true}, after(4)) }, after(4)},
		{"a state that differs is not rolled back", func() { g.Rollback(first) }, after(4)},
		{"a policy that is there again", func() { g.SetPolicy(Policy{}, after(5)) }, after(5)},
		{"the same state is rolled back", func() { g.Rollback(first) }, start},
	} {
		step.do()
		if since := g.Snapshot().Since; !since.Equal(step.since) {
			t.Errorf("%s: since %s, want %s", step.name, since, step.since)
		}
	}
}

func TestLookFitsUntilAnotherOneIsInForce(t *testing.T) {
	g := New(Policy{}, start)
	l := g.Look(start, true)
	if !g.Fits(l) {
		t.Error("it does not fit, and nothing has changed")
	}
	g.SetOverride(&Override{Mode: Off, At: start}, start)
	if _, _, ok := g.Apply(l, start); g.Fits(l) || ok {
		t.Error("it fits, and another one is in force")
	}
}

func TestOverrideIsInForceUntilItEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		override *Override
		inForce  bool
	}{
		"none":             {nil, false},
		"without an end":   {&Override{}, true},
		"that ends later":  {&Override{Expires: start.Add(1)}, true},
		"that ends now":    {&Override{Expires: start}, false},
		"that ended early": {&Override{Expires: start.Add(-1)}, false},
	} {
		if got := tt.override.InForce(start); (got != nil) != tt.inForce || got != nil && got != tt.override {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// opening holds from a moment on.
type opening time.Time

func (o opening) Eval(now time.Time) (bool, time.Time, error) {
	if at := time.Time(o); now.Before(at) {
		return false, at, nil
	}
	return true, time.Time{}, nil
}

func TestNextChangeIsKnownForAYear(t *testing.T) {
	for days, known := range map[int]bool{1: true, 300: true, 366: true, 367: false} {
		at := start.AddDate(0, 0, days)
		g := New(Policy{OpenWhen: []Condition{{Name: "opening", Rule: opening(at)}}}, start)
		if until := g.Snapshot().Until; until.Equal(at) != known || !known && !until.IsZero() {
			t.Errorf("in %d days: until %s", days, until)
		}
	}
}

func TestDeadlineOfADrainIsThirtySecondsByDefault(t *testing.T) {
	if DefaultDeadline != 30*time.Second {
		t.Errorf("it is %s, and every document says 30s", DefaultDeadline)
	}
}
