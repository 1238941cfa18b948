package registry

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wsgate/wsgate/gate"
)

// What a change of the gate has in its train comes once, and in order, whoever
// sees the change first.

var drainsInAMinute = gate.Closing{Drain: true, Deadline: time.Minute}

// flagRule follows the live flag F.
type flagRule struct {
	flags   *flagSet // of this test
	between func()   // comes between asking the rule and listening to it, or the other way round
}

func (f flagRule) Eval(time.Time) (bool, time.Time, error) {
	values := f.flags.values.Load()
	return values != nil && (*values)["F"] == "1", time.Time{}, nil
}

func (f flagRule) Notify(changed func()) (stop func()) {
	if f.between != nil {
		f.between()
	}
	return WatchFlag("F", changed)
}

func setFlag(t *testing.T, value string) {
	t.Helper()
	if err := reg.flags.change("F", &value, ""); err != nil {
		t.Error(err)
	}
}

func onFlag(between func()) []gate.Condition {
	return []gate.Condition{{Name: "env_flag", Rule: flagRule{&reg.flags, between}}}
}

func TestPromise1ChangeThatARequestSeesFirstIsCarriedOut(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"g": {Mode: gate.Off, Closing: drainsInAMinute}}))
	e := Acquire("g", gate.Policy{}, m)
	s := flip(t, "g", SwitchRequest{Mode: gate.On, TTL: time.Hour})
	tun, _ := open(t, e)
	if e.Verdict(s.Override.Expires).Open { // before any timer
		t.Error("open after the end of the switch")
	}
	after := state(t, "g")
	if !tun.told.Load() || after.State != gate.Draining || after.ETag == s.ETag {
		t.Errorf("told %v, %+v, was %+v", tun.told.Load(), after, s)
	}
	await(t, "its end to be stored", func() bool { return m.says(t, overrideKey("g"), "mode") == "auto" })
}

func TestPromise3SwitchAtTheMomentWhenTheOldOneEnds(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	e, err := reg.lookup("g")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		reason := fmt.Sprint(i)
		now := time.Now()
		if _, err := e.switchTo(SwitchRequest{Mode: gate.Off, TTL: time.Hour, Reason: "before"}, now); err != nil {
			t.Fatal(err)
		}
		var both sync.WaitGroup
		both.Go(func() { e.refreshAt(now.Add(2 * time.Hour)) })
		both.Go(func() {
			if _, err := e.switchTo(SwitchRequest{Mode: gate.Off, TTL: 9 * time.Hour, Reason: reason}, now); err != nil {
				t.Error(err)
			}
		})
		both.Wait()
		reg.ledger.AwaitStored(t.Context(), e.key())
		e.follow.mu.Lock()
		timer := e.follow.timer != nil
		e.follow.mu.Unlock()
		if o := e.gate.Snapshot().Override; o == nil || o.Reason != reason || !m.has(overrideKey("g")) || !timer {
			t.Fatalf("in force %+v, stored %v, looked at again %v", o, m.has(overrideKey("g")), timer)
		}
	}
}

func TestPromise3SwitchWhileAnOlderOneIsRead(t *testing.T) {
	for range 300 {
		m := lonely(t)
		m.data[overrideKey("g")] = []byte(`{"mode":"off","reason":"old","at":"2026-11-24T09:00:00Z","seq":7,"by":"other"}`)
		c := config(m, map[string]gate.Policy{"g": {}})
		var both sync.WaitGroup
		both.Go(func() { Begin(c) })
		both.Go(func() {
			await(t, "the gate", func() bool { _, err := reg.lookup("g"); return err == nil })
			flip(t, "g", SwitchRequest{Mode: gate.On, Reason: "new"})
		})
		both.Wait()
		if s := state(t, "g"); s.Reason != "new" || m.says(t, overrideKey("g"), "reason") != "new" {
			t.Fatalf("in force %+v, stored %v", s, m.says(t, overrideKey("g"), "reason"))
		}
	}
}

func TestTagIsNeverNewerThanTheStateBesideIt(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	e, err := reg.lookup("g")
	if err != nil {
		t.Fatal(err)
	}
	turnOf := make(map[string]int) // by tag, of gate and flag
	var done atomic.Bool
	var writer sync.WaitGroup
	writer.Go(func() {
		defer done.Store(true)
		for i := range 5000 {
			turn := fmt.Sprintf("%06d", i)
			if _, err := e.switchTo(SwitchRequest{Mode: gate.Off, Reason: turn}, time.Now()); err != nil {
				t.Error(err)
			}
			setFlag(t, turn)
			reg.flags.mu.Lock()
			turnOf["gate"+e.etag()], turnOf["flag"+reg.flags.records["F"].Tag()] = i, i
			reg.flags.mu.Unlock()
		}
	})
	seen := make(map[string]string)
	note := func(etag, turn string) {
		if older, again := seen[etag]; turn != "" && (!again || turn < older) {
			seen[etag] = turn
		}
	}
	for !done.Load() {
		if s := e.status(time.Now()); s.Override != nil {
			note("gate"+s.ETag, s.Reason)
		}
		if f, err := FlagOf("F"); err == nil {
			note("flag"+f.ETag, f.Value)
		}
	}
	writer.Wait()
	for etag, turn := range seen {
		if i, known := turnOf[etag]; known && turn < fmt.Sprintf("%06d", i) {
			t.Fatalf("state %s has the tag of %06d: If-Match would overwrite what nobody has seen", turn, i)
		}
	}
}

func TestChangeBetweenListeningToARuleAndAskingItIsNotMissed(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"g": {OpenWhen: onFlag(func() { setFlag(t, "1") })}}))
	await(t, "the gate to open", func() bool { return state(t, "g").State == gate.Open })
}

func BenchmarkVerdict(b *testing.B) {
	e := newEntry(newRegistry(), "g")
	now := time.Now()
	e.setPolicy(gate.Policy{OpenWhen: []gate.Condition{{Name: "w", Rule: until(now.Add(time.Hour))}}}, now)
	defer e.follow.stop()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if !e.Verdict(now).Open {
				b.Error("closed")
			}
		}
	})
}

func TestVerdictAllocatesNothing(t *testing.T) {
	e := newEntry(newRegistry(), "g")
	now := time.Now()
	e.setPolicy(gate.Policy{OpenWhen: []gate.Condition{{Name: "w", Rule: until(now.Add(time.Hour))}}}, now)
	defer e.follow.stop()
	if n := testing.AllocsPerRun(100, func() { e.Verdict(now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// until holds up to a moment.
type until time.Time

func (u until) Eval(now time.Time) (holds bool, next time.Time, err error) {
	if now.Before(time.Time(u)) {
		return true, time.Time(u), nil
	}
	return false, time.Time{}, nil
}
