package gate

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// start is any moment; the tests only move from it.
var start = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

// hours is a rule that holds from one hour of each day to another.
type hours struct{ from, to int }

func (h hours) Eval(now time.Time) (bool, time.Time, error) {
	day := now.Truncate(24 * time.Hour)
	for _, edge := range []int{h.from, h.to, h.from + 24} {
		if at := day.Add(time.Duration(edge) * time.Hour); at.After(now) {
			return now.Hour() >= h.from && now.Hour() < h.to, at, nil
		}
	}
	return false, time.Time{}, nil
}

// lever is a rule that changes when a test moves it.
type lever struct {
	up  bool
	err error
}

func (l *lever) Eval(time.Time) (bool, time.Time, error) { return l.up, time.Time{}, l.err }

func TestGateFollowsItsRules(t *testing.T) {
	office, night := hours{9, 18}, hours{20, 23}
	tests := []struct {
		name   string
		policy Policy
		at     time.Time
		open   bool
		cause  Cause
		reason string
		until  time.Time
	}{
		{"no rules is open", Policy{}, start, true, CauseConfig, "no rules", time.Time{}},
		{"mode off", Policy{Mode: Off}, start, false, CauseConfig, "mode off", time.Time{}},
		{"mode on ignores rules", Policy{Mode: On, OpenWhen: []Condition{{Name: "w", Rule: night}}}, start, true, CauseConfig, "mode on", time.Time{}},
		{"inside a window", Policy{OpenWhen: []Condition{{Name: "w", Rule: office}}}, start, true, CauseRule, "all rules hold", start.Add(9 * time.Hour)},
		{"outside a window", Policy{OpenWhen: []Condition{{Name: "w", Rule: office}}}, start.Add(-time.Hour), false, CauseRule, "w does not hold", start},
		{"not inverts", Policy{OpenWhen: []Condition{{Name: "w", Not: true, Rule: office}}}, start, false, CauseRule, "not w does not hold", start.Add(9 * time.Hour)},
		{"two windows that never meet", Policy{OpenWhen: []Condition{{Name: "w", Rule: office}, {Name: "v", Rule: night}}}, start, false, CauseRule, "v does not hold", time.Time{}},
		{"two windows that meet later", Policy{OpenWhen: []Condition{{Name: "w", Rule: office}, {Name: "v", Rule: hours{12, 13}}}}, start, false, CauseRule, "v does not hold", start.Add(3 * time.Hour)},
		{"a lever has no until", Policy{OpenWhen: []Condition{{Name: "l", Rule: &lever{}}}}, start, false, CauseRule, "l does not hold", time.Time{}},
		{"a window behind a lever that is down", Policy{OpenWhen: []Condition{{Name: "l", Rule: &lever{}}, {Name: "w", Rule: office}}}, start, false, CauseRule, "l does not hold", time.Time{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := New(tt.policy, tt.at).Snapshot().Verdict
			if v.Open != tt.open || v.Cause != tt.cause || v.Reason != tt.reason || !v.Until.Equal(tt.until) {
				t.Errorf("got %+v, want open %v, %s, %q, until %s", v, tt.open, tt.cause, tt.reason, tt.until)
			}
			if !v.Since.Equal(tt.at) {
				t.Errorf("since %s, want %s", v.Since, tt.at)
			}
		})
	}
}

// at returns the verdict at a moment. It refreshes the gate first if that is
// due.
func at(g *Gate, now time.Time) Verdict {
	s := g.Snapshot()
	if s.Due(now) {
		_, s = g.Refresh(now)
	}
	return s.Verdict
}

func TestSnapshotIsDueWhenTheClockCanChangeIt(t *testing.T) {
	g := New(Policy{OpenWhen: []Condition{{Name: "w", Rule: hours{9, 18}}}}, start)
	if !at(g, start.Add(8*time.Hour)).Open {
		t.Error("closed within the window")
	}
	end := start.Add(9 * time.Hour)
	v := at(g, end)
	if v.Open || !v.Since.Equal(end) || !v.Until.Equal(start.Add(24*time.Hour)) {
		t.Errorf("after the window: %+v", v)
	}
}

func TestRemovedGateIsClosedWhateverIsSaid(t *testing.T) {
	g := New(Policy{}, start)
	end := start.Add(time.Hour)
	g.SetOverride(&Override{Mode: On, Reason: "stay", Expires: end}, start)
	_, s := g.SetPolicy(Policy{Removed: true}, start)
	if s.Open || s.Mode != Off || s.Cause != CauseConfig || s.Reason != RemovedReason || !s.Until.IsZero() || s.Override == nil {
		t.Errorf("got %+v", s)
	}
	if v := at(g, end); v.Open {
		t.Errorf("after the end of an override: %+v", v)
	}
	if _, s = g.SetPolicy(Policy{}, start); !s.Open {
		t.Errorf("back again: %+v", s)
	}
}

func TestOverrideStandsAboveThePolicyUntilItEnds(t *testing.T) {
	g := New(Policy{OpenWhen: []Condition{{Name: "w", Rule: hours{9, 18}}}}, start)
	end := start.Add(30 * time.Minute)
	before, after := g.SetOverride(&Override{Mode: Off, Reason: "db migration", At: start, Expires: end}, start)
	if !before.Open || after.Open || after.Cause != CauseOverride || after.Reason != "db migration" || !after.Until.Equal(end) || after.Mode != Off {
		t.Errorf("switched off: %+v", after)
	}
	if v := at(g, end); !v.Open || v.Cause != CauseRule || !v.Since.Equal(end) {
		t.Errorf("after its end: %+v", v)
	}
	if g.Snapshot().Override != nil {
		t.Error("an override that has ended is still there")
	}
}

func TestUntilSkipsAnEndThatChangesNothing(t *testing.T) {
	night := start.Add(-8 * time.Hour) // 01:00, the window is closed
	g := New(Policy{OpenWhen: []Condition{{Name: "w", Rule: hours{9, 18}}}}, night)
	_, after := g.SetOverride(&Override{Mode: Off, At: night, Expires: night.Add(time.Hour)}, night)
	if !after.Until.Equal(start) {
		t.Errorf("until %s, want the window's begin %s: the override ends while the window is shut", after.Until, start)
	}
	if !after.Next.Equal(night.Add(time.Hour)) {
		t.Errorf("next look %s, want the override's end", after.Next)
	}
}

func TestStateKeepsItsBeginWhenOnlyTheCauseChanges(t *testing.T) {
	g := New(Policy{}, start)
	_, closed := g.SetOverride(&Override{Mode: Off, At: start.Add(time.Minute)}, start.Add(time.Minute))
	_, again := g.SetOverride(&Override{Mode: Off, Reason: "still", At: start.Add(time.Hour)}, start.Add(time.Hour))
	if !again.Since.Equal(closed.Since) {
		t.Errorf("since %s, want %s", again.Since, closed.Since)
	}
}

func TestPromise8RuleThatCannotBeReadKeepsItsLastAnswer(t *testing.T) {
	l := &lever{up: true}
	g := New(Policy{OpenWhen: []Condition{{Name: "l", Rule: l}}}, start)
	l.up, l.err = false, errors.New("no such file")
	_, after := g.Refresh(start.Add(time.Second))
	if !after.Open || after.Rules[0].Err == nil {
		t.Errorf("got %+v, want open with the error said", after)
	}
	l.err = nil
	if _, after = g.Refresh(start.Add(2 * time.Second)); after.Open {
		t.Error("still open after the rule could be read again")
	}
	l.err = errors.New("gone again")
	if _, after = g.Refresh(start.Add(3 * time.Second)); after.Open || !strings.Contains(after.Reason, "gone again") {
		t.Errorf("got %+v, want closed with the reason", after)
	}
}

func TestRuleThatWasNeverReadKeepsTheGateShut(t *testing.T) {
	v := New(Policy{OpenWhen: []Condition{{Name: "l", Not: true, Rule: &lever{err: errors.New("boom")}}}}, start).Snapshot().Verdict
	if v.Open || v.Reason != "not l cannot be read: boom" {
		t.Errorf("got %+v", v)
	}
}

func TestPlanTakesTheOperatorsWordsFirst(t *testing.T) {
	byRule := Verdict{Cause: CauseRule, Reason: "w does not hold"}
	byHand := Verdict{Cause: CauseOverride, Reason: "db migration"}
	configured := Closing{Drain: true, Deadline: time.Minute, Reason: "closed for the night"}
	tests := []struct {
		name   string
		on     Closing
		v      Verdict
		o      *Override
		reason string
		code   uint16
	}{
		{"configured words", configured, byRule, nil, "closed for the night", 1013},
		{"no words: the neutral sentence", Closing{Drain: true}, byRule, nil, "closed for now", 1013},
		{"the policy's words", Closing{Drain: true}, Verdict{Cause: CauseRule, Text: "see you tomorrow"}, nil, "see you tomorrow", 1013},
		{"words with a time", Closing{Drain: true, Reason: "back at {wsgate.until}"}, Verdict{Until: start.Add(time.Hour), Zone: time.UTC}, nil, "back at 10:00 (UTC)", 1013},
		{"words with a time nobody knows", Closing{Drain: true, Reason: "back at {wsgate.until}"}, byRule, nil, "closed for now", 1013},
		{"the switch's reason", configured, byHand, &Override{Reason: "db migration"}, "db migration", 1013},
		{"a switch without words", configured, Verdict{Cause: CauseOverride, Reason: "switched off"}, &Override{}, "closed for the night", 1013},
		{"the switch's own close reason", Closing{Drain: true, Code: 1012, Reason: "back soon"}, byHand, &Override{Reason: "db migration", Closing: &Closing{Reason: "back soon"}}, "back soon", 1012},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := tt.on.Plan(start, tt.v, tt.o)
			if d.Reason != tt.reason || d.Code != tt.code || !d.Deadline.Equal(start.Add(tt.on.Deadline)) {
				t.Errorf("got %+v", d)
			}
		})
	}
}

func TestRetryAfterRoundsUp(t *testing.T) {
	for wait, want := range map[time.Duration]int{time.Hour: 3600, 1500 * time.Millisecond: 2, time.Millisecond: 1, -time.Second: 1} {
		if got := (Verdict{Until: start.Add(wait)}).RetryAfter(start); got != want {
			t.Errorf("%s: got %d, want %d", wait, got, want)
		}
	}
	if got := (Verdict{}).RetryAfter(start); got != 0 {
		t.Errorf("unknown: got %d", got)
	}
}

func TestGateNames(t *testing.T) {
	for name, want := range map[string]bool{
		"chat": true, "a.b-c_D9": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a/b": false, "ä": false, "a b": false, ".": false, "..": false,
	} {
		if ValidName(name) != want {
			t.Errorf("%q: valid %v, want %v", name, !want, want)
		}
	}
}

func TestModes(t *testing.T) {
	for in, want := range map[string]Mode{"": Auto, "auto": Auto, "on": On, "off": Off} {
		if got, err := ParseMode(in); err != nil || got != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	if _, err := ParseMode("open"); err == nil || !strings.Contains(err.Error(), "auto, on or off") {
		t.Errorf("unknown word: %v", err)
	}
}
