package registry

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wsgate/wsgate/gate"
)

func TestPromise2FailedLoadLeavesARemovedGateAsItWas(t *testing.T) {
	m := lonely(t)
	first := config(m, map[string]gate.Policy{"chat": {}, "other": {}})
	Begin(first)
	kept, _ := open(t, Acquire("chat", gate.Policy{}, m))
	without := config(m, map[string]gate.Policy{"other": {}})
	Begin(without)
	End(first) // chat is gone, and keeps its tunnels
	before := state(t, "chat")

	drains := gate.Policy{Mode: gate.Off, Closing: gate.Closing{Drain: true, Deadline: time.Minute}}
	half := Acquire("chat", drains, m) // a Provision that fails
	if now := state(t, "chat"); now.Mode != before.Mode || now.Closing != before.Closing {
		t.Errorf("a Provision changed the gate: was %+v, is %+v", before, now)
	}
	half.Release()

	failing := config(m, map[string]gate.Policy{"chat": drains, "other": {}})
	handler := Acquire("chat", drains, m)
	Begin(failing)
	End(failing) // a Start that fails
	handler.Release()
	after := state(t, "chat")
	if after.Mode != before.Mode || after.Closing != before.Closing || after.State != before.State || kept.told.Load() {
		t.Errorf("was %+v, is %+v; told %v", before, after, kept.told.Load())
	}
}

func TestPromise2FirstConfigurationIsFinalizedWhenItsLoadHasSucceeded(t *testing.T) {
	m := lonely(t)
	first := config(m, map[string]gate.Policy{"chat": {}})
	Begin(first)
	kept, _ := open(t, Acquire("chat", gate.Policy{}, m))
	End(first) // by a configuration without wsgate

	var succeeded atomic.Bool
	drains := config(m, map[string]gate.Policy{"chat": {Mode: gate.Off, Closing: gate.Closing{Drain: true, Deadline: time.Minute}}})
	drains.Current = succeeded.Load
	Begin(drains)
	End(drains) // its load has failed
	if kept.told.Load() {
		t.Fatal("a load that failed has ended a tunnel")
	}
	Begin(drains)
	succeeded.Store(true)
	await(t, "the tunnel to be told", kept.told.Load)
}

func TestPromise2FailedLoadBringsNoRecords(t *testing.T) {
	m := lonely(t)
	m.data[flagKey("X")] = []byte(`{"value":"1"}`)
	m.data[overrideKey("chat")] = []byte(`{"mode":"off","at":"2026-11-22T09:00:00Z"}`)
	failing := config(named{m, "failing"}, map[string]gate.Policy{"chat": {}})
	failing.Current = func() bool { return false }
	e := Acquire("chat", gate.Policy{}, failing.Storage)
	if e.Verdict(time.Now()).Open {
		t.Error("the first handshake after a cold start is not answered by what is stored")
	}
	Begin(failing)
	End(failing)
	e.Release()

	other := &memory{data: map[string][]byte{}}
	Begin(config(named{other, "other"}, map[string]gate.Policy{"chat": {}}))
	if _, set := Flag("X"); set || state(t, "chat").Mode != gate.Auto {
		t.Errorf("records of a configuration that failed are in force: flags %v, %+v", Flags(), state(t, "chat"))
	}
	if other.has(flagKey("X")) || other.has(overrideKey("chat")) {
		t.Error("and were stored elsewhere")
	}
}

func TestNewStorageIsReadIfNothingWasPutHere(t *testing.T) {
	m := lonely(t)
	first := config(named{m, "one"}, map[string]gate.Policy{"said": {}, "silent": {}})
	Begin(first)
	flip(t, "said", SwitchRequest{Mode: gate.Off})
	flip(t, "said", SwitchRequest{Mode: gate.Auto})
	for _, name := range []string{"SAID", "GONE"} {
		if _, err := SetFlag(t.Context(), name, "1", ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := DeleteFlag(t.Context(), "GONE", ""); err != nil {
		t.Fatal(err)
	}
	other := &memory{data: map[string][]byte{
		overrideKey("said"):   []byte(`{"mode":"off","at":"2026-11-22T09:00:00Z"}`),
		overrideKey("silent"): []byte(`{"mode":"off","at":"2026-11-22T09:00:00Z"}`),
		flagKey("GONE"):       []byte(`{"value":"old"}`),
		flagKey("SILENT"):     []byte(`{"value":"there"}`),
	}}
	Begin(config(named{other, "two"}, map[string]gate.Policy{"said": {}, "silent": {}}))
	End(first)
	await(t, "what was said to be there", func() bool {
		return other.says(t, overrideKey("said"), "mode") == "auto" && other.says(t, flagKey("GONE"), "unset") == true && other.has(flagKey("SAID"))
	})
	if state(t, "said").Mode != gate.Auto || state(t, "silent").Mode != gate.Off {
		t.Errorf("said %+v, silent %+v", state(t, "said"), state(t, "silent"))
	}
	if v, _ := Flag("SILENT"); v != "there" {
		t.Errorf("flags %v", Flags())
	}
}

func TestPromise8StoredFlagsAreReadAgainAndAProblemUntilThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := lonely(t)
		m.data[flagKey("X")] = []byte(`{"value":"1"}`)
		m.set(errBroken)
		Begin(config(m, map[string]gate.Policy{"g": {}}))
		s := state(t, "g")
		if !slices.ContainsFunc(s.Problems, func(p string) bool { return strings.Contains(p, "stored flags cannot be read") }) || s.Stored {
			t.Errorf("problems %q, stored %v", s.Problems, s.Stored)
		}
		m.set(nil)
		await(t, "the flag", func() bool { _, set := Flag("X"); return set })
		await(t, "the problems to be over", func() bool { return len(state(t, "g").Problems) == 0 })
	})
}

func TestBrokenRecordIsReplacedByTheNextSwitch(t *testing.T) {
	m := lonely(t)
	m.data[overrideKey("g")] = []byte(`{"mode":"off","closing":{"drain":true,"code":1005}}`)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	if s := state(t, "g"); len(s.Problems) == 0 || s.Mode != gate.Auto {
		t.Fatalf("a record that nobody may say is in force: %+v", s)
	}
	if s := flip(t, "g", SwitchRequest{Mode: gate.Auto}); len(s.Problems) > 0 || m.says(t, overrideKey("g"), "mode") != "auto" {
		t.Errorf("after auto: %+v", s)
	}
}

func TestLimitsAreDroppedWithTheLastOfTheirTunnels(t *testing.T) {
	m := lonely(t)
	limits := func(key string) *Config {
		c := config(m, map[string]gate.Policy{"g": {}})
		c.Limits = map[string]map[string]LimitValues{"g": {key: {Lifetime: time.Hour}, "other": {}}}
		return c
	}
	before := limits("first")
	Begin(before)
	e := Acquire("g", gate.Policy{}, m)
	tun, err := e.Admit(Admission{Handler: "first"})
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		after := limits("later")
		Begin(after)
		End(before)
		before = after
	}
	has := func() (keys []string) {
		for key := range e.handlers.counts() {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		return keys
	}
	if keys := has(); !slices.Equal(keys, []string{"first", "later", "other"}) {
		t.Errorf("limits %q", keys)
	}
	tun.Drop()
	if keys := has(); !slices.Equal(keys, []string{"later", "other"}) {
		t.Errorf("limits %q", keys)
	}
}
