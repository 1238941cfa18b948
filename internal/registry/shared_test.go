package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/events"
)

// Two processes on one storage: each operator's word counts as the latest one at
// the moment when it is said.

// node is one of two processes.
type node struct {
	r *registry
	c *Config
}

func twoNodes(t *testing.T) (m *memory, a, b *node) {
	t.Helper()
	m = lonely(t)
	before := reg
	start := func(by string) *node {
		n := &node{r: newRegistry(), c: config(named{m, "shared"}, map[string]gate.Policy{"g": {}})}
		n.c.By = func() string { return by }
		n.use()
		Begin(n.c)
		return n
	}
	a, b = start("a"), start("b")
	t.Cleanup(func() { reg = before })
	return m, a, b
}

func (n *node) use() { reg = n.r }

func (n *node) reload() { n.c = reload(n.r, n.c) }

// says expects a mode at a node, and in the storage.
func (n *node) says(t *testing.T, m *memory, mode gate.Mode) {
	t.Helper()
	n.use()
	if s := state(t, "g"); s.Mode != mode || !s.Stored || m.says(t, overrideKey("g"), "mode") != string(mode) {
		t.Errorf("%s, stored %v, there %v, want %s", s.Mode, s.Stored, m.says(t, overrideKey("g"), "mode"), mode)
	}
}

func TestPromise12SwitchThatIsRepeatedIsTheLatestWord(t *testing.T) {
	for name, tt := range map[string]struct{ ours, theirs gate.Mode }{
		"off after on":   {gate.Off, gate.On},
		"on after off":   {gate.On, gate.Off},
		"auto after off": {gate.Auto, gate.Off},
		"auto after on":  {gate.Auto, gate.On},
		"off after auto": {gate.Off, gate.Auto},
		"off after off":  {gate.Off, gate.Off},
	} {
		for _, known := range []bool{true, false} { // whether the first switch was made here
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m, a, b := twoNodes(t)
					a.use()
					ours := SwitchRequest{Mode: tt.ours, Actor: "ana"}
					if known {
						flip(t, "g", SwitchRequest{Mode: gate.On, Reason: "first"})
						flip(t, "g", ours)
					}
					b.reload()
					before := flip(t, "g", SwitchRequest{Mode: gate.On, Reason: "then"})
					if theirs := flip(t, "g", SwitchRequest{Mode: tt.theirs, Actor: "bea"}); theirs.ETag == before.ETag {
						t.Fatal("not switched")
					}
					time.Sleep(time.Minute)
					a.use()
					s := flip(t, "g", ours)
					if s.Mode != tt.ours || !s.Stored || m.says(t, overrideKey("g"), "actor") != "ana" || s.Override != nil && s.Override.Actor != "ana" {
						t.Errorf("the answer is %s, stored %v, %+v", s.Mode, s.Stored, s.Override)
					}
					again := flip(t, "g", ours)
					if again.ETag != s.ETag {
						t.Errorf("the same once more: %s after %s", again.ETag, s.ETag)
					}
					a.says(t, m, tt.ours)
					b.reload()
					b.says(t, m, tt.ours)
					a.reload()
					a.says(t, m, tt.ours)
				})
			})
		}
	}
}

func TestPromise12RepeatedSwitchWithItsOwnTagIsTheLatestWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, a, b := twoNodes(t)
		a.use()
		tag := flip(t, "g", SwitchRequest{Mode: gate.On}).ETag
		b.use()
		flip(t, "g", SwitchRequest{Mode: gate.Off})
		a.use()
		if s := flip(t, "g", SwitchRequest{Mode: gate.On, IfMatch: tag}); s.Mode != gate.On || !s.Stored || s.ETag == tag {
			t.Errorf("%s, stored %v, %s after %s", s.Mode, s.Stored, s.ETag, tag)
		}
		if _, err := Switch(t.Context(), "g", SwitchRequest{Mode: gate.On, IfMatch: tag}); !errors.Is(err, ErrPrecondition) {
			t.Errorf("with the old tag: %v", err)
		}
		b.reload()
		b.says(t, m, gate.On)
	})
}

func TestPromise12FlagThatIsSetOrUnsetAgainIsTheLatestWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, a, b := twoNodes(t)
		set := func(n *node, value string) {
			t.Helper()
			n.use()
			f, err := SetFlag(t.Context(), "F", value, "")
			if v, _ := Flag("F"); err != nil || f.Value != value || !f.Stored || v != value || m.says(t, flagKey("F"), "value") != value {
				t.Errorf("%+v, %v, in force %q, there %v", f, err, v, m.says(t, flagKey("F"), "value"))
			}
		}
		unset := func(n *node) {
			t.Helper()
			n.use()
			stored, err := DeleteFlag(t.Context(), "F", "")
			if _, is := Flag("F"); err != nil || !stored || is || m.says(t, flagKey("F"), "unset") != true {
				t.Errorf("stored %v, %v, there %v", stored, err, m.says(t, flagKey("F"), "unset"))
			}
		}
		var unknown *UnknownFlagError
		if stored, err := DeleteFlag(t.Context(), "F", ""); !errors.As(err, &unknown) || stored {
			t.Errorf("a flag that nobody has set: %v, %v", stored, err)
		}
		if m.has(flagKey("F")) {
			t.Error("it is stored that it is not set")
		}
		set(a, "1")
		set(b, "2")
		set(a, "1")
		unset(b)
		set(a, "1")
		b.reload()
		set(b, "1")
		unset(a)
		unset(b)
		unset(a) // here it is unset, and there by another one
		if _, err := DeleteFlag(t.Context(), "F", ""); !errors.As(err, &unknown) {
			t.Errorf("unset twice: %v", err)
		}
		set(b, "3")
		unset(a)
		b.reload()
		if _, is := Flag("F"); is {
			t.Error("it comes back")
		}
	})
}

func TestFlagsHaveNamesAlsoWhileTheStorageFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := lonely(t)
		m.set(errors.New("stale"))
		Begin(config(m, map[string]gate.Policy{"g": {}}))
		var unknown *UnknownFlagError
		if _, err := DeleteFlag(t.Context(), "../gates/g", ""); !errors.As(err, &unknown) || len(reg.ledger.Pending()) > 0 {
			t.Errorf("%v, pending %q", err, reg.ledger.Pending())
		}
	})
}

func TestPromise12EndOfASwitchLeavesALaterOneOfAnotherProcess(t *testing.T) {
	for name, later := range map[string]SwitchRequest{
		"without an end":  {Mode: gate.Off, NoEnd: true, Reason: "stay shut"},
		"with a later":    {Mode: gate.Off, TTL: time.Hour},
		"the other way":   {Mode: gate.On},
		"and then as was": {Mode: gate.Auto},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, a, b := twoNodes(t)
				a.use()
				flip(t, "g", SwitchRequest{Mode: gate.Off, TTL: 3 * time.Second})
				b.reload()
				a.use()
				s := flip(t, "g", later)
				b.use() // whose copy ends
				time.Sleep(4 * time.Second)
				b.says(t, m, later.Mode)
				a.says(t, m, later.Mode)
				if state(t, "g").ETag != s.ETag {
					t.Errorf("%s, want %s", state(t, "g").ETag, s.ETag)
				}
			})
		})
	}
}

func TestAutoReplacesASwitchThatEndedWhileTheProcessWasDown(t *testing.T) {
	m := lonely(t)
	ended := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	m.data[overrideKey("g")] = []byte(`{"mode":"off","at":"2026-11-24T09:00:00Z","expires":"` + ended + `","seq":3,"by":"n","v":1}`)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	if s := state(t, "g"); s.Mode != gate.Auto || s.State != gate.Open {
		t.Fatalf("%+v", s)
	}
	if s := flip(t, "g", SwitchRequest{Mode: gate.Auto}); !s.Stored || m.says(t, overrideKey("g"), "mode") != "auto" || m.says(t, overrideKey("g"), "seq") != 4.0 {
		t.Errorf("stored %v, there %v", s.Stored, m.says(t, overrideKey("g"), "mode"))
	}
}

func TestGateWhoseNumberIsTheHighestIsAProblemAndCanBeSwitched(t *testing.T) {
	m := lonely(t)
	m.data[overrideKey("g")] = []byte(`{"mode":"on","at":"2026-11-24T09:00:00Z","seq":4503599627370495,"by":"n","v":1,"said_at":"2026-11-24T09:00:00Z"}`)
	m.data[flagKey("F")] = []byte(`{"value":"1","seq":4503599627370495,"by":"n","v":1,"said_at":"2026-11-24T09:00:00Z"}`)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	if s := state(t, "g"); s.Mode != gate.On || len(s.Problems) != 2 {
		t.Errorf("%s, problems %q", s.Mode, s.Problems)
	}
	flip(t, "g", SwitchRequest{Mode: gate.Off})
	process(t)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	if s := state(t, "g"); s.Mode != gate.Off || !s.Stored {
		t.Errorf("after a restart %s, stored %v", s.Mode, s.Stored)
	}
}

func TestRepeatWaitsForAHangingStorageAtMostFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := lonely(t)
		c := config(named{m, "s"}, map[string]gate.Policy{"g": {}})
		Begin(c)
		flip(t, "g", SwitchRequest{Mode: gate.Off})
		d := &deadMount{memory: m, until: make(chan struct{})}
		next := config(d, c.Gates)
		Begin(next)
		End(c)
		for _, req := range []SwitchRequest{{Mode: gate.Off}, {Mode: gate.Auto}, {Mode: gate.Auto}} {
			began := time.Now()
			s := flip(t, "g", req)
			if took := time.Since(began); s.Mode != req.Mode || s.Stored || took != storeWait {
				t.Errorf("%s, stored %v after %s", s.Mode, s.Stored, took)
			}
		}
		close(d.until)
		await(t, "auto to be stored", func() bool { return state(t, "g").Stored && m.says(t, overrideKey("g"), "mode") == "auto" })
	})
}

func TestAnswerDuringAMoveWaitsLikeAnyOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := lonely(t)
		gates := map[string]gate.Policy{"g": {}}
		last := config(named{m, "0"}, gates)
		Begin(last)
		ctx, cancel := context.WithCancel(t.Context())
		var moves sync.WaitGroup
		defer moves.Wait()
		defer cancel()
		moves.Go(func() {
			for i := 1; ctx.Err() == nil; i++ {
				c := config(named{&memory{data: map[string][]byte{}}, string(rune('0' + i%2))}, gates)
				Begin(c)
				End(last)
				last = c
				time.Sleep(time.Millisecond)
			}
		})
		for i := range 500 {
			mode := gate.On
			if i%2 == 0 {
				mode = gate.Off
			}
			if s := flip(t, "g", SwitchRequest{Mode: mode}); !s.Stored || s.Mode != mode {
				t.Errorf("%d: %s, stored %v", i, s.Mode, s.Stored)
			}
			time.Sleep(time.Millisecond / 7)
		}
	})
}

func TestPromise4ExitTriesOnceAndSaysWhatIsNotStored(t *testing.T) {
	for name, mended := range map[string]bool{"the storage is mended": true, "it is not": false} {
		t.Run(name, func(t *testing.T) {
			m := lonely(t)
			var lost []Line
			stop := events.Default.Listen(events.Listener{Hear: func(e events.Event) {
				if l, ok := e.What.(Line); ok && strings.Contains(l.Message, "not everything is stored") {
					lost = append(lost, l)
				}
			}})
			defer stop()
			Begin(config(m, map[string]gate.Policy{"g": {}, "h": {}}))
			flip(t, "h", SwitchRequest{Mode: gate.Off})
			m.set(errors.New("full"))
			nobodyWaits, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := Switch(nobodyWaits, "g", SwitchRequest{Mode: gate.Off}); err != nil {
				t.Fatal(err)
			}
			if _, err := SetFlag(nobodyWaits, "F", "1", ""); err != nil {
				t.Fatal(err)
			}
			await(t, "the writer to have tried both", func() bool {
				m.mu.Lock()
				defer m.mu.Unlock()
				return m.writes >= 3
			})
			if mended {
				m.set(nil)
			}
			began := time.Now()
			Shutdown()
			if took := time.Since(began); took > exitGrace/2 {
				t.Errorf("the exit took %s", took)
			}
			events.Default.Flush(t.Context())
			switch {
			case mended && (len(lost) > 0 || m.says(t, overrideKey("g"), "mode") != "off" || m.says(t, flagKey("F"), "value") != "1"):
				t.Errorf("there %v, logged %v", m.says(t, overrideKey("g"), "mode"), lost)
			case !mended && (len(lost) != 1 || fmt.Sprint(lost[0].Fields[0].Interface, lost[0].Fields[1].Interface) != "[g] [F]"):
				t.Errorf("logged %+v", lost)
			}
		})
	}
}

func TestPromise12RepeatedSwitchReplacesOneThatWasJustRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, a, b := twoNodes(t)
		a.use()
		off := SwitchRequest{Mode: gate.Off, Actor: "ana"}
		flip(t, "g", off)
		b.reload()
		flip(t, "g", SwitchRequest{Mode: gate.On})
		a.use()
		e, err := reg.lookup("g")
		if err != nil {
			t.Fatal(err)
		}
		hide := func(e *Entry) { // the gate does not take what the ledger reads
			reg.mu.Lock()
			defer reg.mu.Unlock()
			reg.entries["g"] = e
		}
		hide(nil)
		reg.ledger.Bind(placeOf(a.c.Storage))
		synctest.Wait()
		hide(e)
		if r, _ := reg.ledger.Get(e.key()); r.By != "b" {
			t.Fatalf("the ledger has %+v", r)
		}
		if s := flip(t, "g", off); s.Mode != gate.Off || !s.Stored {
			t.Errorf("the answer is %s, stored %v", s.Mode, s.Stored)
		}
		synctest.Wait()
		a.says(t, m, gate.Off)
	})
}
