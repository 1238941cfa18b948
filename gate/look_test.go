package gate

import (
	"errors"
	"testing"
	"time"
)

// words is a rule with a text, a new value in each configuration.
type words struct {
	lever
	text string
}

func (w *words) String() string { return w.text }

func TestPromise8LastAnswerOutlivesAReloadOfTheSameRule(t *testing.T) {
	l := &lever{up: true}
	p := Policy{OpenWhen: []Condition{{Name: "file", Rule: l}}}
	g := New(p, start)
	l.err = errors.New("stale NFS handle")
	if _, s := g.SetPolicy(p, start.Add(time.Second)); !s.Open {
		t.Errorf("closed by a reload of the same rule: %s", s.Reason)
	}
	up := func(name, text string, not bool, err error) Policy {
		return Policy{OpenWhen: []Condition{{Name: name, Not: not, Rule: &words{lever{up: !not, err: err}, text}}}}
	}
	for name, tt := range map[string]struct {
		next Policy
		open bool
	}{
		"the same words":  {up("file", "file a", false, errors.New("x")), true},
		"other words":     {up("file", "file b", false, errors.New("x")), false},
		"another name":    {up("flag", "file a", false, errors.New("x")), false},
		"turned around":   {up("file", "file a", true, errors.New("x")), false},
		"a rule in words": {Policy{OpenWhen: []Condition{{Name: "file", Rule: &lever{err: errors.New("x")}}}}, false},
	} {
		g := New(up("file", "file a", false, nil), start)
		if _, s := g.SetPolicy(tt.next, start.Add(time.Second)); s.Open != tt.open {
			t.Errorf("%s: open %v, %s", name, s.Open, s.Reason)
		}
	}
}

// list is a rule that cannot be compared, because it is a slice.
type list []bool

func (l list) Eval(time.Time) (bool, time.Time, error) { return l[0], time.Time{}, nil }

func TestRulesThatCannotBeComparedAreOthers(t *testing.T) {
	p := Policy{OpenWhen: []Condition{{Name: "l", Rule: list{true}}}}
	g := New(p, start)
	if _, s := g.SetPolicy(p, start); !s.Open {
		t.Errorf("%s", s.Reason)
	}
}

func TestLookWithoutAskingGoesByWhatWasLastSaid(t *testing.T) {
	l := &lever{up: true}
	p := Policy{OpenWhen: []Condition{{Name: "l", Rule: l}}}
	g := New(p, start)
	l.up = false
	look := g.LookOverride(&Override{Mode: Off, Expires: start.Add(time.Hour)}, start, false)
	if _, s, ok := g.Apply(look, start); !ok || s.Open || !s.Rules[0].Holds || !s.Until.IsZero() {
		t.Errorf("applied %v: %+v", ok, s)
	}
	if _, s, ok := g.Apply(g.LookOverride(nil, start, false), start); !ok || !s.Open {
		t.Errorf("applied %v: %+v", ok, s)
	}
	fresh := &Gate{}
	if _, s, ok := fresh.Apply(fresh.LookPolicy(p, start, false), start); !ok || s.Open || s.Rules[0].Err == nil {
		t.Errorf("never asked: applied %v, %+v", ok, s)
	}
}

func TestLookThatIsLateIsNotApplied(t *testing.T) {
	g := New(Policy{}, start)
	late := g.Look(start, true)
	g.SetOverride(&Override{Mode: Off}, start)
	if _, _, ok := g.Apply(late, start); ok || g.Snapshot().Open {
		t.Error("a look from before a switch was put in force")
	}
}

func TestDecideIsPure(t *testing.T) {
	p := Policy{Closing: Closing{Drain: true}, OpenWhen: []Condition{{Name: "w", Rule: hours{9, 18}}}}
	o := &Override{Mode: On, Expires: start.Add(time.Hour), Closing: &Closing{}}
	answers := []Answer{{Known: true, Next: start.Add(2 * time.Hour)}}
	for name, tt := range map[string]struct {
		o    *Override
		at   time.Time
		open bool
		next time.Time
		mode Mode
	}{
		"by the rule":           {nil, start, false, start.Add(2 * time.Hour), Auto},
		"by the override":       {o, start, true, start.Add(time.Hour), On},
		"just before its end":   {o, start.Add(time.Hour - 1), true, start.Add(time.Hour), On},
		"at the override's end": {o, start.Add(time.Hour), false, start.Add(2 * time.Hour), Auto},
	} {
		s := Decide(p, tt.o, answers, tt.at)
		if s.Open != tt.open || !s.Next.Equal(tt.next) || s.Mode != tt.mode || s.Closing.Drain == tt.open || (s.Override != nil) != tt.open {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if answers[0].Holds || o.Mode != On {
		t.Error("Decide has changed what it was given")
	}
}
