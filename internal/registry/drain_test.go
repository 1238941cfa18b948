package registry

import (
	"testing"
	"time"

	"github.com/wsgate/wsgate/gate"
)

// admit lists tunnels that nobody starts, so that the test says when they end.
func admit(t *testing.T, e *Entry, n int) (all []*Tunnel) {
	t.Helper()
	for range n {
		tun, err := e.Admit(Admission{Upstream: "backend:1"})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, tun)
	}
	return all
}

func drop(all []*Tunnel) {
	for _, tun := range all {
		tun.Drop()
	}
}

// counted checks how many tunnels a drain has told and how many are left.
func counted(t *testing.T, when string, told, left int) Status {
	t.Helper()
	s := state(t, "g")
	if s.DrainTold != told || s.Draining != left {
		t.Errorf("%s: told %d, %d left; want %d, %d", when, s.DrainTold, s.Draining, told, left)
	}
	return s
}

func TestDrainSaysHowManyWereToldAndHowManyAreLeft(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"g": {Closing: drainsInAMinute}}))
	e := Acquire("g", gate.Policy{}, m)
	tunnels := admit(t, e, 3)
	counted(t, "before", 0, 0)
	flip(t, "g", SwitchRequest{Mode: gate.Off})
	if s := counted(t, "told", 3, 3); s.State != gate.Draining {
		t.Errorf("%s", s.State)
	}
	drop(tunnels[:2])
	counted(t, "two are gone", 3, 1)
	flip(t, "g", SwitchRequest{Mode: gate.Off, Closing: &gate.Closing{Drain: true, Deadline: time.Second}})
	counted(t, "nobody is told twice", 3, 1)
	drop(tunnels[2:])
	if s := counted(t, "all are gone, and the gate is closed", 3, 0); s.State != gate.Closed || s.DrainUntil.IsZero() {
		t.Errorf("%s until %s", s.State, s.DrainUntil)
	}
	flip(t, "g", SwitchRequest{Mode: gate.Off})
	counted(t, "the same word again", 3, 0)
	flip(t, "g", SwitchRequest{Mode: gate.On})
	if s := counted(t, "open again", 0, 0); !s.DrainUntil.IsZero() {
		t.Errorf("a drain until %s", s.DrainUntil)
	}
	drop(admit(t, e, 1))
	flip(t, "g", SwitchRequest{Mode: gate.Off})
	if s := counted(t, "closed again, with nothing to tell", 0, 0); s.DrainUntil.IsZero() {
		t.Error("the drain of this closing is not there")
	}
}

func TestDrainThatBeginsDuringAnotherOneContinuesItsCount(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"g": {Closing: drainsInAMinute}}))
	e := Acquire("g", gate.Policy{}, m)
	first := admit(t, e, 3)
	flip(t, "g", SwitchRequest{Mode: gate.Off})
	drop(first[:1])
	flip(t, "g", SwitchRequest{Mode: gate.On})
	second := admit(t, e, 4)
	if s := counted(t, "open, with two that were told", 3, 2); s.State != gate.Open {
		t.Errorf("%s", s.State)
	}
	flip(t, "g", SwitchRequest{Mode: gate.Off})
	counted(t, "all of them", 7, 6)
	drop(first[1:])
	drop(second)
	counted(t, "all are gone", 7, 0)
	flip(t, "g", SwitchRequest{Mode: gate.On})
	third := admit(t, e, 1)
	flip(t, "g", SwitchRequest{Mode: gate.Off})
	counted(t, "a drain of its own", 1, 1)
	flip(t, "g", SwitchRequest{Mode: gate.On})
	flip(t, "g", SwitchRequest{Mode: gate.Off})
	drop(third)
	counted(t, "closed again before the last was gone", 1, 0)
}

func TestTunnelsThatAreKeptAreNotCountedAsTold(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	e := Acquire("g", gate.Policy{}, m)
	tunnels := admit(t, e, 2)
	flip(t, "g", SwitchRequest{Mode: gate.Off})
	if s := counted(t, "kept", 0, 0); s.State != gate.Closed || !s.DrainUntil.IsZero() || s.Tunnels != 2 {
		t.Errorf("%+v", s)
	}
	drop(tunnels[:1])
	flip(t, "g", SwitchRequest{Mode: gate.Off, Closing: &gate.Closing{Drain: true, Deadline: time.Minute}})
	counted(t, "told after all", 1, 1)
	drop(tunnels[1:])
	counted(t, "gone", 1, 0)
}

func TestDrainOfAGateThatLeftTheConfigurationIsCounted(t *testing.T) {
	m := lonely(t)
	first := config(m, map[string]gate.Policy{"g": {Closing: drainsInAMinute}, "other": {}})
	Begin(first)
	e := Acquire("g", gate.Policy{}, m)
	tunnels := admit(t, e, 2)
	Begin(config(m, map[string]gate.Policy{"other": {}}))
	End(first)
	drop(tunnels[:1])
	if s := counted(t, "one is gone", 2, 1); s.State != gate.Draining {
		t.Errorf("%s", s.State)
	}
	drop(tunnels[1:])
}
