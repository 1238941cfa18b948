package registry

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/tunnel"
)

// What outlives a configuration, and what leaves with it.

func TestPromise1RemovedGateAdmitsNothingEvenIfSwitchedOn(t *testing.T) {
	m := lonely(t)
	first := config(m, map[string]gate.Policy{"g": {Closing: drainsInAMinute}, "other": {}})
	Begin(first)
	e := Acquire("g", gate.Policy{}, m)
	flip(t, "g", SwitchRequest{Mode: gate.On})
	left, err := e.Admit(Admission{}) // keeps the gate in sight
	if err != nil {
		t.Fatal(err)
	}
	without := config(m, map[string]gate.Policy{"other": {}})
	Begin(without)
	End(first)
	var closed *ClosedError
	if _, err := e.Admit(Admission{}); !errors.As(err, &closed) || closed.Verdict.Reason != gate.RemovedReason {
		t.Errorf("a handshake under way: %v", err)
	}
	s := state(t, "g")
	if s.State != gate.Draining || s.Mode != gate.Off || s.Reason != gate.RemovedReason || !s.Removed || s.Override == nil || s.DrainCode != gate.CodeServiceRestart {
		t.Errorf("got %+v", s)
	}
	left.Drop()
	e.Release()
	Begin(config(m, map[string]gate.Policy{"g": {Mode: gate.Off}}))
	End(without)
	if s := state(t, "g"); s.State != gate.Open || s.Override == nil {
		t.Errorf("the switch does not apply when the gate returns: %+v", s)
	}
}

func TestTagOfARemovedGateIsRefused(t *testing.T) {
	m := lonely(t)
	both := map[string]gate.Policy{"g": {}, "other": {}}
	first := config(m, both)
	Begin(first)
	unset := state(t, "g").ETag
	seen := flip(t, "g", SwitchRequest{Mode: gate.Off, Reason: "ana"}).ETag
	without, again := config(m, map[string]gate.Policy{"other": {}}), config(m, both)
	Begin(without)
	End(first)
	Begin(again)
	End(without)
	flip(t, "g", SwitchRequest{Mode: gate.On, Reason: "ben"})
	for _, late := range []string{unset, seen} {
		if _, err := Switch(t.Context(), "g", SwitchRequest{Mode: gate.Auto, IfMatch: late}); !errors.Is(err, ErrPrecondition) {
			t.Errorf("%s passes: %v", late, err)
		}
	}
}

func TestTagIsRefusedOnceTheStoredSwitchIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := lonely(t)
		m.data[overrideKey("g")] = []byte(`{"mode":"off","at":"2026-11-24T09:00:00Z"}`)
		m.set(errBroken)
		Begin(config(m, map[string]gate.Policy{"g": {}}))
		seen := state(t, "g")
		m.set(nil)
		await(t, "the stored switch", func() bool { return state(t, "g").State == gate.Closed })
		if now := state(t, "g"); now.ETag == seen.ETag {
			t.Errorf("%s names %s and %s", now.ETag, seen.State, now.State)
		}
	})
}

func TestSwitchEndsByTheWallClock(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	s := flip(t, "g", SwitchRequest{Mode: gate.Off, TTL: time.Hour})
	if at := s.Override.Expires; at != at.Round(0) { // the monotonic reading makes the difference
		t.Errorf("%s goes by a clock that stands still while the machine sleeps", at)
	}
}

func TestPromise2FailedLoadForgetsNoFlagThatWasSet(t *testing.T) {
	m := lonely(t)
	m.data[flagKey("STORED")] = []byte(`{"value":"1"}`)
	nobodyWaits, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := SetFlag(nobodyWaits, "X", "1", ""); err != nil { // no configuration has a gate
		t.Fatal(err)
	}
	Acquire("g", gate.Policy{}, m).Release() // a Provision that fails
	if v, _ := Flag("X"); v != "1" {
		t.Errorf("X is %q", v)
	}
	if _, set := Flag("STORED"); set {
		t.Error("a flag is left of a configuration that never was")
	}
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	await(t, "the flag to be stored", func() bool { return m.has(flagKey("X")) })
	if v, _ := Flag("STORED"); v != "1" {
		t.Errorf("STORED is %q", v)
	}
}

// partly is a storage that does not write everything.
type partly struct {
	*memory
	refuses func(key string) bool
	loads   atomic.Int64 // of gates' records
}

func (p *partly) Store(ctx context.Context, key string, value []byte) error {
	if p.refuses(key) {
		return errBroken
	}
	return p.memory.Store(ctx, key, value)
}

func (p *partly) Load(ctx context.Context, key string) ([]byte, error) {
	if strings.Contains(key, "/gates/") {
		p.loads.Add(1)
	}
	return p.memory.Load(ctx, key)
}

func TestPromise3SwitchThatWaitsForStorageIsInForceWhenItsGateReturns(t *testing.T) {
	var full atomic.Bool
	full.Store(true)
	m := &partly{memory: lonely(t), refuses: func(string) bool { return full.Load() }}
	both := map[string]gate.Policy{"g": {}, "other": {}}
	first, without, again := config(m, both), config(m, map[string]gate.Policy{"other": {}}), config(m, both)
	Begin(first)
	nobodyWaits, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := Switch(nobodyWaits, "g", SwitchRequest{Mode: gate.Off, Reason: "fire"}); err != nil || s.Stored {
		t.Fatalf("got %+v, %v", s, err)
	}
	Begin(without)
	End(first)
	Begin(again)
	End(without)
	if s := state(t, "g"); s.State != gate.Closed || s.Reason != "fire" || s.Stored {
		t.Errorf("got %+v", s)
	}
	full.Store(false)
	await(t, "the word to be stored", func() bool { return state(t, "g").Stored && m.has(overrideKey("g")) })
}

func TestPromise3RecordThatCannotBeWrittenDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		broken.Store(true)
		m := &partly{memory: lonely(t), refuses: func(key string) bool { return broken.Load() && key == overrideKey("bad") }}
		Begin(config(m, map[string]gate.Policy{"bad": {}, "good": {}}))
		nobodyWaits, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Switch(nobodyWaits, "bad", SwitchRequest{Mode: gate.Off}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // of a clock that does not wait: the pauses have grown
		for _, mode := range []gate.Mode{gate.Off, gate.On, gate.Off, gate.On} {
			began := time.Now()
			if s := flip(t, "good", SwitchRequest{Mode: mode}); !s.Stored || time.Since(began) > time.Second {
				t.Errorf("stored %v after %s", s.Stored, time.Since(began))
			}
		}
		broken.Store(false)
	})
}

func TestSwitchToAutoWithAClosedRuleDrainsTunnelsAndAReloadDoesNotDoItAgain(t *testing.T) {
	m := lonely(t)
	setFlag(t, "1")
	policies := map[string]gate.Policy{"g": {Closing: drainsInAMinute, OpenWhen: onFlag(nil)}}
	first := config(m, policies)
	Begin(first)
	tun, _ := open(t, Acquire("g", gate.Policy{}, m))
	flip(t, "g", SwitchRequest{Mode: gate.Off, Closing: &gate.Closing{}}) // keeps them
	setFlag(t, "0")
	e, _ := reg.lookup("g")
	e.refresh()
	if tun.told.Load() {
		t.Error("told though the switch keeps tunnels")
	}
	s := flip(t, "g", SwitchRequest{Mode: gate.Auto})
	if !tun.told.Load() || s.State != gate.Draining || s.DrainReason != "closed for now" {
		t.Errorf("told %v, %+v", tun.told.Load(), s)
	}
	Begin(config(m, policies))
	End(first)
	if again := state(t, "g"); !again.DrainUntil.Equal(s.DrainUntil) {
		t.Errorf("a reload moved the deadline from %s to %s", s.DrainUntil, again.DrainUntil)
	}
}

func TestPromise2SwitchDuringALoadThatFailsFollowsTheOlderPolicy(t *testing.T) {
	m := lonely(t)
	keeps := config(m, map[string]gate.Policy{"g": {}})
	Begin(keeps)
	tun, _ := open(t, Acquire("g", gate.Policy{}, m))
	failing := config(m, map[string]gate.Policy{"g": {Closing: drainsInAMinute}})
	Begin(failing)
	flip(t, "g", SwitchRequest{Mode: gate.Off})
	End(failing)
	if tun.told.Load() {
		t.Error("ended by the closing of a load that has failed")
	}
	works := config(m, failing.Gates)
	Begin(works)
	End(keeps)
	if !tun.told.Load() {
		t.Error("kept though the policy of a load that has succeeded ends it")
	}
}

func TestPromise2FirstConfigurationIsFinalizedAfterAReloadThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := lonely(t)
		alone := config(m, map[string]gate.Policy{"g": {}})
		alone.Current = func() bool { return true }
		Begin(alone)
		failing := config(m, alone.Gates) // before anybody has looked
		Begin(failing)
		time.Sleep(time.Second) // of a clock that does not wait
		End(failing)
		await(t, "the first one to be settled", reg.isFinal)
	})
}

func TestFailedLoadsLeaveNoWatcherOfAFlag(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"other": {}}))
	p := gate.Policy{OpenWhen: onFlag(nil)}
	for range 3 {
		failing := config(m, map[string]gate.Policy{"other": {}, "new": p})
		h := Acquire("new", p, m)
		Begin(failing)
		h.Release() // Cleanup comes in any order, and Stop not at all
		End(failing)
	}
	if n := len(reg.flags.watchers["F"]); n != 0 {
		t.Errorf("%d are left", n)
	}
}

func TestFirstHandshakeGetsThePolicyEvenIfAHandlerWithoutOneCameFirst(t *testing.T) {
	m := lonely(t)
	joins := Acquire("g", gate.Policy{}, m)
	if says := Acquire("g", gate.Policy{Mode: gate.Off}, m); says != joins || says.Verdict(time.Now()).Open {
		t.Error("open before Start though its policy is off")
	}
}

func TestTotalsContinueWhenAGateReturns(t *testing.T) {
	m := lonely(t)
	both := map[string]gate.Policy{"g": {}, "other": {}}
	first, without, again := config(m, both), config(m, map[string]gate.Policy{"other": {}}), config(m, both)
	Begin(first)
	e := Acquire("g", gate.Policy{}, m)
	e.CountRefused("closed")
	e.CountRefused("malformed")
	e.CountRefused("closed")
	tun, client := open(t, e)
	tun.Opened(time.Millisecond)
	if _, err := client.Write([]byte{0x81, 0x80, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	await(t, "the message", func() bool { return state(t, "g").Totals.MessagesUp == 1 })
	want := state(t, "g").Totals
	tun.Close(tunnel.Closing{By: tunnel.ByOperator, Code: 1000, Deadline: time.Now()})
	tun.Wait()
	await(t, "the tunnel to leave", func() bool { return e.Tunnels() == 0 })
	Begin(without)
	End(first)
	e.Release()
	if _, err := StatusOf("g", time.Now()); err == nil {
		t.Fatal("the gate is still there")
	}
	Begin(again)
	End(without)
	if got := state(t, "g").Totals; got != want || got.Refused != 3 || got.Accepted != 1 || got.BytesUp == 0 {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if by := state(t, "g").Refused; len(by) != 2 || by["closed"] != 2 || by["malformed"] != 1 {
		t.Errorf("refused by outcome: %v", by)
	}
}
