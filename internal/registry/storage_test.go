package registry

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/events"
)

// deadMount is a storage that answers nothing, whatever its context says, until
// it is let go.
type deadMount struct {
	*memory
	until        chan struct{}
	reads, calls atomic.Int64
}

func (d *deadMount) wait() {
	d.calls.Add(1)
	<-d.until
}

func (d *deadMount) Load(ctx context.Context, key string) ([]byte, error) {
	d.reads.Add(1)
	d.wait()
	return d.memory.Load(ctx, key)
}

func (d *deadMount) List(ctx context.Context, path string, all bool) ([]string, error) {
	d.reads.Add(1)
	d.wait()
	return d.memory.List(ctx, path, all)
}

func (d *deadMount) Store(ctx context.Context, key string, value []byte) error {
	d.wait()
	return d.memory.Store(ctx, key, value)
}

func (d *deadMount) Delete(ctx context.Context, key string) error {
	d.wait()
	return d.memory.Delete(ctx, key)
}

// slow is a storage that heeds its context, and nothing else until it is let go.
type slow struct {
	*memory
	until chan struct{}
}

func (s slow) wait(ctx context.Context) error {
	select {
	case <-s.until:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s slow) Load(ctx context.Context, key string) ([]byte, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	return s.memory.Load(ctx, key)
}

func (s slow) List(ctx context.Context, path string, all bool) ([]string, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	return s.memory.List(ctx, path, all)
}

func manyGates() map[string]gate.Policy {
	gates := make(map[string]gate.Policy)
	for i := range 100 {
		gates[fmt.Sprint("g", i)] = gate.Policy{}
	}
	return gates
}

func TestPromise4StorageThatHangsAddsFiveSecondsToALoadAtMost(t *testing.T) {
	for name, hanging := range map[string]func(*memory) (Storage, func()){
		"and heeds nothing": func(m *memory) (Storage, func()) {
			d := &deadMount{memory: m, until: make(chan struct{})}
			return d, func() { close(d.until) }
		},
		"and heeds its context": func(m *memory) (Storage, func()) {
			s := slow{m, make(chan struct{})}
			return s, func() { close(s.until) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := lonely(t)
				storage, letGo := hanging(m)
				gates := manyGates()
				began := time.Now()
				for g := range gates {
					defer Acquire(g, gate.Policy{}, storage).Release()
				}
				c := config(storage, gates)
				Begin(c)
				defer End(c)
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("the load took %s", took)
				}
				if s := state(t, "g0"); s.State != gate.Open || s.Stored || len(s.Problems) == 0 {
					t.Errorf("the gate follows its configuration, and says that it could not read: %+v", s)
				}
				nobodyWaits, cancel := context.WithCancel(t.Context())
				cancel()
				if s, err := Switch(nobodyWaits, "g0", SwitchRequest{Mode: gate.Off}); err != nil || s.State != gate.Closed || s.Stored {
					t.Errorf("the switch: %+v, %v", s, err)
				}
				letGo()
				await(t, "what was said to be stored, and no problem left", func() bool {
					s := state(t, "g0")
					return s.Stored && len(s.Problems) == 0
				})
			})
		})
	}
}

func TestPromise4NoMoreThanOneReadAndOneWriteAreUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &deadMount{memory: lonely(t), until: make(chan struct{})}
		c := config(d, manyGates())
		Begin(c)
		nobodyWaits, cancel := context.WithCancel(t.Context())
		cancel()
		for name := range c.Gates {
			if _, err := Switch(nobodyWaits, name, SwitchRequest{Mode: gate.Off}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
		if reads, all := d.reads.Load(), d.calls.Load(); reads != 1 || all > 2 {
			t.Errorf("%d reads, %d calls in an hour, while the first of each hangs", reads, all)
		}
		close(d.until)
		await(t, "all switches to be stored", func() bool {
			for name := range c.Gates {
				if !state(t, name).Stored {
					return false
				}
			}
			return true
		})
		End(c)
	})
}

func TestPromise8WhatHangsIsAppliedWhenItCanBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &deadMount{memory: lonely(t), until: make(chan struct{})}
		d.data[overrideKey("g")] = []byte(`{"mode":"off","reason":"fire","at":"2026-11-24T09:00:00Z"}`)
		d.data[overrideKey("newer")] = []byte(`{"mode":"off","reason":"fire","at":"2026-11-24T09:00:00Z"}`)
		c := config(d, map[string]gate.Policy{"g": {}, "newer": {}})
		Begin(c)
		defer End(c)
		nobodyWaits, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Switch(nobodyWaits, "newer", SwitchRequest{Mode: gate.On}); err != nil {
			t.Fatal(err)
		}
		close(d.until)
		await(t, "the stored switch", func() bool { return state(t, "g").Reason == "fire" })
		await(t, "no problem", func() bool { return len(state(t, "g").Problems) == 0 })
		if s := state(t, "newer"); s.State != gate.Open {
			t.Errorf("something newer was said: %+v", s)
		}
	})
}

func TestPromise3StoredMeansThatStorageHasTheRecord(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	off := SwitchRequest{Mode: gate.Off, Reason: "fire"}
	flip(t, "g", off)
	if _, err := SetFlag(t.Context(), "F", "1", ""); err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	clear(m.data) // somebody has emptied the storage
	m.mu.Unlock()
	if s := flip(t, "g", off); !s.Stored || !m.has(overrideKey("g")) {
		t.Errorf("said again: stored %v, there %v", s.Stored, m.has(overrideKey("g")))
	}
	if f, err := SetFlag(t.Context(), "F", "1", ""); err != nil || !f.Stored || !m.has(flagKey("F")) {
		t.Errorf("set again: %+v, %v, there %v", f, err, m.has(flagKey("F")))
	}
}

// forgetful is a storage that says yes and keeps nothing.
type forgetful struct{ *memory }

func (forgetful) Store(context.Context, string, []byte) error { return nil }

func TestPromise3StorageThatKeepsNothingHasNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := lonely(t)
		c := config(forgetful{m}, map[string]gate.Policy{"g": {}})
		Begin(c)
		if s := flip(t, "g", SwitchRequest{Mode: gate.Off}); s.Stored {
			t.Error("stored, and nothing is there")
		}
		after := config(m, c.Gates)
		Begin(after)
		End(c)
		await(t, "the switch to be stored in another place", func() bool { return m.has(overrideKey("g")) })
	})
}

func TestMoveToAnotherStorageTakesOnlyTheRecordsOfThisProcess(t *testing.T) {
	for name, at := range map[string]func(m *memory, name string) Storage{
		"that say where they are": func(m *memory, name string) Storage { return named{m, name} },
		"that do not":             func(m *memory, _ string) Storage { return m },
	} {
		t.Run(name, func(t *testing.T) {
			old, shared := lonely(t), &memory{data: map[string][]byte{}}
			old.data[overrideKey("g")] = []byte(`{"mode":"off","reason":"last year","at":"2025-11-24T09:00:00Z"}`)
			old.data[overrideKey("nothing there")] = []byte(`{"mode":"off","reason":"last year","at":"2025-11-24T09:00:00Z"}`)
			old.data[flagKey("READ")] = []byte(`{"value":"last year"}`)
			old.data[flagKey("GONE")] = []byte(`{"value":"last year"}`)
			shared.data[overrideKey("g")] = []byte(`{"mode":"on","reason":"the others say so","at":"2026-11-24T09:00:00Z"}`)
			shared.data[flagKey("READ")] = []byte(`{"value":"the others"}`)
			gates := map[string]gate.Policy{"g": {}, "said": {}, "nothing there": {}}
			first := config(at(old, "old"), gates)
			Begin(first)
			flip(t, "said", SwitchRequest{Mode: gate.Off, Reason: "fire"})
			if v, _ := Flag("READ"); v != "last year" {
				t.Fatalf("READ is %q", v)
			}
			second := config(at(shared, "shared"), gates)
			Begin(second)
			End(first)
			defer End(second)
			if s := state(t, "g"); s.Reason != "the others say so" {
				t.Errorf("nobody has said anything here: %s, %q", s.State, s.Reason)
			}
			if s := state(t, "nothing there"); s.Override != nil {
				t.Errorf("what was read elsewhere is still in force: %+v", s.Override)
			}
			await(t, "what was said to be stored there", func() bool { return shared.has(overrideKey("said")) })
			if s := state(t, "said"); s.Reason != "fire" {
				t.Errorf("said %+v", s)
			}
			if v, _ := Flag("READ"); v != "the others" {
				t.Errorf("READ is %q", v)
			}
			if _, set := Flag("GONE"); set || shared.has(flagKey("GONE")) {
				t.Error("a flag that was read elsewhere has come along")
			}
		})
	}
}

func TestExpiredRecordIsRemoved(t *testing.T) {
	m := lonely(t)
	m.data[overrideKey("g")] = []byte(`{"mode":"off","at":"2025-11-24T09:00:00Z","expires":"2025-11-24T10:00:00Z"}`)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	await(t, "the record to go", func() bool { return !m.has(overrideKey("g")) })
}

func TestSinceNeverLiesInTheFuture(t *testing.T) {
	m := lonely(t)
	m.data[overrideKey("g")] = []byte(`{"mode":"off","at":"2099-11-24T09:00:00Z"}`)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	if s := state(t, "g"); s.Since.After(time.Now()) {
		t.Errorf("since %s", s.Since)
	}
}

func TestRecordsWithInvalidValuesAreRefused(t *testing.T) {
	for name, record := range map[string]string{
		"null": "null", "nothing": "{}", "another type": `{"value":1}`, "control characters": `{"value":"a\u0000b"}`,
		"too long": `{"value":"` + strings.Repeat("x", 2000) + `"}`, "5 MB": `{"value":"` + strings.Repeat("x", 5<<20) + `"}`, "no JSON": "hello",
	} {
		t.Run(name, func(t *testing.T) {
			m := lonely(t)
			m.data[flagKey("F")], m.data[flagKey("GOOD")] = []byte(record), []byte(`{"value":"1"}`)
			m.data[overrideKey("g")] = []byte(record)
			c := config(m, map[string]gate.Policy{"g": {}})
			Begin(c)
			if v, set := Flag("F"); set {
				t.Errorf("the flag is set to %.20q, and hides the environment", v)
			}
			if v, _ := Flag("GOOD"); v != "1" {
				t.Error("a bad record hides a good one")
			}
			if s := state(t, "g"); s.State != gate.Open || len(s.Problems) < 2 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestStoredSwitchThatAStartFindsIsPublished(t *testing.T) {
	m := lonely(t)
	m.data[overrideKey("g")] = []byte(`{"mode":"off","reason":"fire","actor":"ana","from":"10.0.0.1","at":"2026-11-24T09:00:00Z"}`)
	var found SwitchFound
	stop := events.Default.Listen(events.Listener{Hear: func(e events.Event) {
		if f, ok := e.What.(SwitchFound); ok && e.Gate == "g" {
			found = f
		}
	}})
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	events.Default.Flush(t.Context())
	stop()
	if f := found.Override; f == nil || f.Mode != gate.Off || f.Reason != "fire" || f.Actor != "ana" || f.From != "10.0.0.1" {
		t.Errorf("found %+v", f)
	}
}

func TestPromise2GateThatOnlyAFailedLoadHadIsRemoved(t *testing.T) {
	m := lonely(t)
	first := config(m, map[string]gate.Policy{"other": {}})
	Begin(first)
	defer End(first)
	e := Acquire("g", gate.Policy{Closing: drainsInAMinute}, m)
	failing := config(m, map[string]gate.Policy{"other": {}, "g": {Closing: drainsInAMinute}})
	Begin(failing)
	tun, _ := open(t, e)
	End(failing) // another app's Start has failed
	e.Release()
	s := state(t, "g")
	if s.State == gate.Open || !s.Removed {
		t.Errorf("no configuration has it, and it is %s, removed %v", s.State, s.Removed)
	}
	await(t, "its tunnel to be sent a close frame", tun.told.Load)
}

func TestPromise2FailedLoadIsNoChangeOfAGate(t *testing.T) {
	m := lonely(t)
	l := listen(t)
	first := config(m, map[string]gate.Policy{"g": {}})
	Begin(first)
	shut := config(m, map[string]gate.Policy{"g": {Mode: gate.Off}})
	Begin(shut)
	End(shut)
	if n, _ := l.heard(t, GateChanged{}); n != 0 {
		t.Errorf("%d changes by a load that failed", n)
	}
	Begin(shut)
	End(first)
	if n, _ := l.heard(t, GateChanged{}); n != 1 {
		t.Errorf("%d changes by a load that closed the gate", n)
	}
	End(shut)
}
