package registry

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wsgate/wsgate/gate"
)

// What lies in storage, and what several processes read of each other.

// process puts the registry of another process in place.
func process(t *testing.T) *registry {
	t.Helper()
	reg = newRegistry()
	return reg
}

func TestRecordsHaveAVersionANumberAWriterAndATime(t *testing.T) {
	m := lonely(t)
	c := config(m, map[string]gate.Policy{"g": {}})
	c.By = func() string { return "node-1" }
	Begin(c)
	began := time.Now()
	s := flip(t, "g", SwitchRequest{Mode: gate.Off})
	if s.ETag != `"1-node-1"` {
		t.Errorf("the tag is %s", s.ETag)
	}
	at, err := time.Parse(time.RFC3339, m.says(t, overrideKey("g"), "said_at").(string))
	if err != nil || at.Before(began.Add(-time.Second)) || at.After(time.Now()) {
		t.Errorf("said at %s, %v", at, err)
	}
	if v, seq, by := m.says(t, overrideKey("g"), "v"), m.says(t, overrideKey("g"), "seq"), m.says(t, overrideKey("g"), "by"); v != 1.0 || seq != 1.0 || by != "node-1" {
		t.Errorf("v %v, seq %v, by %v", v, seq, by)
	}
	if s := flip(t, "g", SwitchRequest{Mode: gate.Auto, Actor: "ana", From: "192.0.2.1"}); s.ETag != `"2-node-1"` || m.says(t, overrideKey("g"), "actor") != "ana" {
		t.Errorf("the tag is %s, the actor %v", s.ETag, m.says(t, overrideKey("g"), "actor"))
	}
	f, err := SetFlag(t.Context(), "F", "1", "")
	if err != nil || f.ETag != `"1-node-1"` || m.says(t, flagKey("F"), "v") != 1.0 {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestNodeNameThatCannotBeReadDelaysNoLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := lonely(t)
		known := make(chan struct{})
		c := config(m, map[string]gate.Policy{"g": {}})
		c.By = func() string { <-known; return "node-1" }
		began := time.Now()
		Begin(c)
		if took := time.Since(began); took != nameWait {
			t.Errorf("the load took %s", took)
		}
		if s := flip(t, "g", SwitchRequest{Mode: gate.Off}); !s.Stored || m.says(t, overrideKey("g"), "by") != processName {
			t.Errorf("stored %v, by %v", s.Stored, m.says(t, overrideKey("g"), "by"))
		}
		close(known)
		synctest.Wait()
		flip(t, "g", SwitchRequest{Mode: gate.On})
		if by := m.says(t, overrideKey("g"), "by"); by != "node-1" {
			t.Errorf("by %v", by)
		}
	})
}

func TestGateThatAnotherProcessSwitchesToAutoOpensAtTheNextLoad(t *testing.T) {
	m := lonely(t)
	gates := map[string]gate.Policy{"g": {}}
	start := func() (*registry, *Config) {
		r, c := process(t), config(named{m, "shared"}, gates)
		Begin(c)
		return r, c
	}
	one, before := start()
	flip(t, "g", SwitchRequest{Mode: gate.Off, Reason: "fire"})
	if _, err := SetFlag(t.Context(), "F", "1", ""); err != nil {
		t.Fatal(err)
	}
	start() // another one
	if s := state(t, "g"); s.Reason != "fire" {
		t.Fatalf("the other one has %+v", s)
	}
	flip(t, "g", SwitchRequest{Mode: gate.Auto})
	if _, err := DeleteFlag(t.Context(), "F", ""); err != nil {
		t.Fatal(err)
	}
	reg = one
	if s := state(t, "g"); s.State != gate.Closed {
		t.Errorf("storage is read when a configuration comes, not polled: %+v", s)
	}
	Begin(config(named{m, "shared"}, gates)) // a reload
	End(before)
	await(t, "the gate to open", func() bool { return state(t, "g").State == gate.Open })
	await(t, "the flag to be unset", func() bool { _, set := Flag("F"); return !set })
}

func TestSwitchToAutoIsStoredForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := lonely(t)
		Begin(config(m, map[string]gate.Policy{"g": {}}))
		flip(t, "g", SwitchRequest{Mode: gate.Off})
		flip(t, "g", SwitchRequest{Mode: gate.Auto})
		if _, err := SetFlag(t.Context(), "F", "1", ""); err != nil {
			t.Fatal(err)
		}
		if _, err := DeleteFlag(t.Context(), "F", ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(23 * time.Hour)
		if m.says(t, overrideKey("g"), "mode") != "auto" || m.says(t, flagKey("F"), "unset") != true {
			t.Error("forgotten too early")
		}
		time.Sleep(time.Hour + time.Minute)
		synctest.Wait()
		if m.has(overrideKey("g")) || m.has(flagKey("F")) {
			t.Error("still there after a day")
		}
		if s := state(t, "g"); s.State != gate.Open || !s.Stored || len(s.Problems) > 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestFieldsThatALaterVersionWroteAreKept(t *testing.T) {
	m := lonely(t)
	m.data[overrideKey("g")] = []byte(`{"mode":"off","at":"2026-11-24T09:00:00Z","percent":25}`)
	m.data[flagKey("F")] = []byte(`{"value":"1","owner":"ana"}`)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	flip(t, "g", SwitchRequest{Mode: gate.On})
	if _, err := SetFlag(t.Context(), "F", "2", ""); err != nil {
		t.Fatal(err)
	}
	if percent, mode := m.says(t, overrideKey("g"), "percent"), m.says(t, overrideKey("g"), "mode"); percent != 25.0 || mode != "on" {
		t.Errorf("percent %v, mode %v", percent, mode)
	}
	if owner, value := m.says(t, flagKey("F"), "owner"), m.says(t, flagKey("F"), "value"); owner != "ana" || value != "2" {
		t.Errorf("owner %v, value %v", owner, value)
	}
}

func TestRecordOfALaterFormatIsAProblemAndNotInForce(t *testing.T) {
	m := lonely(t)
	m.data[overrideKey("g")] = []byte(`{"mode":"off","at":"2026-11-24T09:00:00Z","v":2,"seq":7}`)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	s := state(t, "g")
	if s.State != gate.Open || s.Stored || len(s.Problems) != 1 || !strings.Contains(s.Problems[0], "later version") {
		t.Errorf("%+v", s)
	}
	if s := flip(t, "g", SwitchRequest{Mode: gate.Off}); !s.Stored || m.says(t, overrideKey("g"), "seq") != 8.0 {
		t.Errorf("said anew: stored %v, seq %v, want one more than what was there", s.Stored, m.says(t, overrideKey("g"), "seq"))
	}
}

func TestPromise3SwitchThatIsReadWaitsForNoRuleAndDelaysNoOperator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := lonely(t)
		hangs := make(chan struct{})
		defer close(hangs)
		m.data[overrideKey("g")] = []byte(`{"mode":"off","reason":"fire","at":"2026-11-24T09:00:00Z"}`)
		Begin(config(m, map[string]gate.Policy{"g": {OpenWhen: []gate.Condition{{Name: "dead", Rule: &silent{until: hangs}}}}}))
		if s := state(t, "g"); s.Reason != "fire" {
			t.Errorf("%+v", s)
		}
		began := time.Now()
		flip(t, "g", SwitchRequest{Mode: gate.On})
		if took := time.Since(began); took > 50*time.Millisecond {
			t.Errorf("the switch took %s", took)
		}
	})
}

func TestFlagThatCannotBeReadCanBeUnset(t *testing.T) {
	m := lonely(t)
	m.data[flagKey("F")] = []byte("hello")
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	if s := state(t, "g"); len(s.Problems) != 1 {
		t.Fatalf("problems %q", s.Problems)
	}
	if stored, err := DeleteFlag(t.Context(), "F", ""); err != nil || !stored {
		t.Errorf("stored %v, %v", stored, err)
	}
	if s := state(t, "g"); len(s.Problems) > 0 {
		t.Errorf("problems %q", s.Problems)
	}
}

// reload loads the same configuration once more in a process.
func reload(of *registry, last *Config) *Config {
	reg = of
	next := *last
	next.final = false
	Begin(&next)
	End(last)
	synctest.Wait()
	return &next
}

func TestReplacedSwitchDoesNotComeBackWhenTheLaterOneHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := lonely(t)
		gates := map[string]gate.Policy{"g": {Mode: gate.Off}}
		start := func(by string) (*registry, *Config) {
			r, c := process(t), config(named{m, "shared"}, gates)
			c.By = func() string { return by }
			Begin(c)
			return r, c
		}
		a, confA := start("a")
		flip(t, "g", SwitchRequest{Mode: gate.On})
		b, confB := start("b") // which has read on
		reg = a
		first := flip(t, "g", SwitchRequest{Mode: gate.Off, TTL: time.Second})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		ended := state(t, "g")
		if ended.Override != nil || ended.State != gate.Closed || ended.ETag == first.ETag {
			t.Fatalf("after its end %+v", ended)
		}
		for range 2 {
			confB = reload(b, confB)
			if s := state(t, "g"); s.State != gate.Closed || s.Override != nil {
				t.Errorf("at the other process: %s, %+v", s.State, s.Override)
			}
			confA = reload(a, confA)
			if s := state(t, "g"); s.State != gate.Closed || s.Override != nil {
				t.Errorf("at the process that has switched it: %s, %+v", s.State, s.Override)
			}
		}
		a, confA = start("a") // once more, after a crash
		again := flip(t, "g", SwitchRequest{Mode: gate.On})
		if again.ETag == first.ETag || again.ETag == ended.ETag {
			t.Errorf("a tag comes back: %s after %s and %s", again.ETag, first.ETag, ended.ETag)
		}
		confB = reload(b, confB)
		if s := state(t, "g"); s.State != gate.Open {
			t.Errorf("the later word does not count at the other process: %+v", s)
		}
		time.Sleep(49 * time.Hour) // every day is over
		confB = reload(b, confB)
		_ = reload(a, confA)
		if s := state(t, "g"); s.State != gate.Open || !s.Stored {
			t.Errorf("a switch without an end has gone: %+v", s)
		}
		_ = reload(b, confB)
	})
}

func TestStoredReasonIsNoTemplate(t *testing.T) {
	m := lonely(t)
	m.data[overrideKey("g")] = []byte(`{"mode":"off","reason":"{{env \"HOME\"}} x","at":"2026-11-24T09:00:00Z"}`)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	e, err := reg.lookup("g")
	if err != nil {
		t.Fatal(err)
	}
	v := e.Verdict(time.Now())
	if text := v.PublicText(time.Now()); v.Open || strings.Contains(text, "{{") || !strings.Contains(text, "HOME") {
		t.Errorf("open %v, clients read %q", v.Open, text)
	}
}

func TestRecordWithAPlaceholderInItsCloseReasonIsStillRead(t *testing.T) {
	m := lonely(t)
	m.data[overrideKey("g")] = []byte(`{"mode":"off","at":"2026-11-24T09:00:00Z","closing":{"drain":true,"deadline":"1m","reason":"bye {env.X}"}}`)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	if s := state(t, "g"); s.State == gate.Open {
		t.Errorf("%+v", s)
	}
	if _, err := Switch(t.Context(), "g", SwitchRequest{Mode: gate.Off, Closing: &gate.Closing{Drain: true, Reason: "bye {env.X}"}}); err == nil {
		t.Error("an operator may say it")
	}
}

func TestRecordsFollowTheRulesOfTheAPI(t *testing.T) {
	const head = `"at":"2026-11-24T09:00:00Z","said_at":"2026-11-24T09:00:00Z","seq":5,"by":"n","v":1`
	for name, tt := range map[string]struct{ record, problem string }{
		"a policy in place of drain":     {`{"mode":"off","closing":{"policy":"drain","deadline":"9s"},` + head + `}`, "closing.drain: missing"},
		"a policy that is none":          {`{"mode":"off","closing":{"policy":"x"},` + head + `}`, "closing.drain: missing"},
		"a closing with on":              {`{"mode":"on","closing":{"drain":true},` + head + `}`, "belongs to mode off"},
		"a closing with auto":            {`{"mode":"auto","closing":{"drain":true},` + head + `}`, "belongs to mode off"},
		"a deadline that keeps":          {`{"mode":"off","closing":{"drain":false,"deadline":"9s"},` + head + `}`, "belong to a drain"},
		"a code that keeps":              {`{"mode":"off","closing":{"drain":false,"code":1013},` + head + `}`, "belong to a drain"},
		"a deadline that is none":        {`{"mode":"off","closing":{"drain":true,"deadline":"soon"},` + head + `}`, "closing.deadline"},
		"a code that must not be sent":   {`{"mode":"off","closing":{"drain":true,"code":1005},` + head + `}`, "closing.code"},
		"a placeholder in a close":       {`{"mode":"off","closing":{"drain":true,"reason":"{env.X}"},` + head + `}`, "closing.reason"},
		"a placeholder in the reason":    {`{"mode":"off","reason":"{env.HOME}",` + head + `}`, "reason: "},
		"a line break in from":           {`{"mode":"off","from":"a\nb",` + head + `}`, "from: control characters"},
		"an escape in from, of auto":     {`{"mode":"auto","from":"\u001b[2J",` + head + `}`, "from: control characters"},
		"an escape in actor, of auto":    {`{"mode":"auto","actor":"\u001b[2J",` + head + `}`, "actor: control characters"},
		"a long from":                    {`{"mode":"off","from":"` + strings.Repeat("x", 129) + `",` + head + `}`, "from: 129 bytes"},
		"no mode":                        {`{` + head + `}`, "mode"},
		"capitals":                       {`{"Mode":"on","mode":"off",` + head + `}`, `"Mode"`},
		"capitals in a closing":          {`{"mode":"off","closing":{"drain":true,"Code":1013},` + head + `}`, `"closing.Code"`},
		"an end in the year 3000":        {`{"mode":"off","expires":"3000-11-24T09:00:00Z",` + head + `}`, "8760h"},
		"an end of auto":                 {`{"mode":"auto","expires":"2026-11-24T10:00:00Z",` + head + `}`, "an end of on or off"},
		"an older one with a line break": {`{"mode":"off","from":"a\nb","at":"2026-11-24T09:00:00Z"}`, "from: control characters"},
	} {
		t.Run(name, func(t *testing.T) {
			m := lonely(t)
			m.data[overrideKey("g")] = []byte(tt.record)
			Begin(config(m, map[string]gate.Policy{"g": {}}))
			if s := state(t, "g"); s.Override != nil || s.Stored || len(s.Problems) != 1 || !strings.Contains(s.Problems[0], tt.problem) {
				t.Errorf("%+v, problems %q", s.Override, s.Problems)
			}
			if s := flip(t, "g", SwitchRequest{Mode: gate.Off, Reason: "fire"}); !s.Stored || len(s.Problems) > 0 {
				t.Errorf("a switch: stored %v, problems %q", s.Stored, s.Problems)
			}
		})
	}
}

func TestEverySwitchOfTheAPIIsReadAgain(t *testing.T) {
	for name, req := range map[string]SwitchRequest{
		"all of it":   {Mode: gate.Off, Reason: "back {wsgate.until}", Actor: "ana", From: "fe80::1%eth0", TTL: maxTTL, Closing: &gate.Closing{Drain: true, Deadline: MaxDeadline, Code: 4999, Reason: "bye"}},
		"keep":        {Mode: gate.Off, Closing: new(gate.Closing)},
		"a drain":     {Mode: gate.Off, Closing: &gate.Closing{Drain: true}},
		"on":          {Mode: gate.On, TTL: minTTL, From: "unix"},
		"the longest": {Mode: gate.On, Reason: strings.Repeat("x", maxReason), Actor: strings.Repeat("x", maxActor)},
		"auto":        {Mode: gate.Auto, Actor: "ana"},
	} {
		t.Run(name, func(t *testing.T) {
			m := lonely(t)
			gates := map[string]gate.Policy{"g": {}}
			Begin(config(m, gates))
			flip(t, "g", SwitchRequest{Mode: gate.On, Reason: "before"})
			said := flip(t, "g", req)
			process(t)
			Begin(config(m, gates))
			s := state(t, "g")
			if s.ETag != said.ETag || !s.Stored || len(s.Problems) > 0 || !sameWords(s.Override, said.Override) {
				t.Errorf("%+v, problems %q", s.Override, s.Problems)
			}
		})
	}
}

func TestUnknownFieldsOfAClosingAreKept(t *testing.T) {
	m := lonely(t)
	m.data[overrideKey("g")] = []byte(`{"mode":"off","at":"2026-11-24T09:00:00Z","seq":5,"by":"n","v":1,"closing":{"drain":true,"deadline":"9s","code":1013,"spread":"5s"}}`)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	flip(t, "g", SwitchRequest{Mode: gate.Off, Reason: "new"})
	closing, _ := m.says(t, overrideKey("g"), "closing").(map[string]any)
	if closing["spread"] != "5s" || closing["deadline"] != "9s" || m.says(t, overrideKey("g"), "reason") != "new" {
		t.Errorf("there %v", closing)
	}
}

func TestFlagThatIsSetAndUnsetIsRefused(t *testing.T) {
	m := lonely(t)
	m.data[flagKey("F")] = []byte(`{"value":"1","unset":true}`)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	if s := state(t, "g"); len(s.Problems) != 1 {
		t.Errorf("problems %q", s.Problems)
	}
}
