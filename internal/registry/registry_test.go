package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/ledger"
	"github.com/wsgate/wsgate/tunnel"
)

// limit bounds every wait.
const limit = 10 * time.Second

// memory is a storage that can be told to fail.
type memory struct {
	mu     sync.Mutex
	data   map[string][]byte
	fail   error
	hang   chan struct{} // writes wait for it
	writes int
}

var errBroken = errors.New("disk is full")

func (m *memory) Store(_ context.Context, key string, value []byte) error {
	m.mu.Lock()
	hang := m.hang
	m.mu.Unlock()
	if hang != nil {
		<-hang
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	if m.fail != nil {
		return m.fail
	}
	m.data[key] = value
	return nil
}

func (m *memory) Load(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return nil, m.fail
	}
	if v, ok := m.data[key]; ok {
		return v, nil
	}
	return nil, fs.ErrNotExist
}

func (m *memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	delete(m.data, key)
	return nil
}

func (m *memory) List(_ context.Context, path string, _ bool) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return nil, m.fail
	}
	var keys []string
	for k := range m.data {
		if strings.HasPrefix(k, path+"/") {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

func (m *memory) has(key string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.data[key]
	return ok
}

func (m *memory) set(fail error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = fail
}

// lonely puts a registry of its own in place for one test.
func lonely(t *testing.T) *memory {
	t.Helper()
	before := reg
	reg = newRegistry()
	m := &memory{data: map[string][]byte{}}
	t.Cleanup(func() {
		m.set(nil)
		await(t, "everything to be written", func() bool { return len(reg.ledger.Pending()) == 0 })
		reg = before
	})
	return m
}

// overrideKey is where a gate's switch is stored, flagKey where a flag is.
func overrideKey(name string) string { return ledger.StorageKey(gatesPrefix + name) }
func flagKey(name string) string     { return ledger.StorageKey(flagsPrefix + name) }

// says returns the value of a field of a stored record; nil: there is none.
func (m *memory) says(t *testing.T, key, field string) any {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.data[key] == nil {
		return nil
	}
	var fields map[string]any
	if err := json.Unmarshal(m.data[key], &fields); err != nil {
		t.Fatal(err)
	}
	return fields[field]
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.After(limit); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func config(m Storage, gates map[string]gate.Policy) *Config {
	return &Config{Gates: gates, Logger: zap.NewNop(), Storage: m}
}

func state(t *testing.T, name string) Status {
	t.Helper()
	s, err := StatusOf(name, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func flip(t *testing.T, name string, req SwitchRequest) Status {
	t.Helper()
	s, err := Switch(t.Context(), name, req)
	if err != nil {
		t.Fatal(err)
	}
	return s.Status
}

// open admits a tunnel between two loopback connections.
func open(t *testing.T, e *Entry) (tun *Tunnel, client net.Conn) {
	t.Helper()
	tun, err := e.Admit(Admission{Upstream: "backend:1"})
	if err != nil {
		t.Fatal(err)
	}
	c, client := pair(t)
	u, _ := pair(t)
	tun.Start(tunnel.Peer{Conn: c}, tunnel.Peer{Conn: u})
	t.Cleanup(func() { tun.Close(tunnel.Closing{By: tunnel.ByError, Code: 1001}); tun.Wait() })
	return tun, client
}

func pair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	far, err = net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	if near, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

func TestSwitchIsStoredAndInForceAfterARestart(t *testing.T) {
	m := lonely(t)
	c := config(m, map[string]gate.Policy{"g": {}})
	Begin(c)
	s := flip(t, "g", SwitchRequest{Mode: gate.Off, Reason: "db migration", Actor: "ana", From: "127.0.0.1", TTL: time.Hour,
		Closing: &gate.Closing{Drain: true, Deadline: time.Minute, Code: 1012, Reason: "soon"}})
	if s.State != gate.Closed || !s.Stored || s.Reason != "db migration" || s.Override.Actor != "ana" || s.Until.IsZero() {
		t.Errorf("got %+v", s)
	}
	reg = newRegistry() // another process
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	again := state(t, "g")
	if again.State != gate.Closed || again.Reason != "db migration" || again.Override.Closing.Code != 1012 || !again.Until.Equal(s.Until) || !again.Since.Equal(s.Override.At) {
		t.Errorf("after a restart %+v", again)
	}
	flip(t, "g", SwitchRequest{Mode: gate.Auto})
	if mode := m.says(t, overrideKey("g"), "mode"); mode != "auto" {
		t.Errorf("auto is stored as %v", mode)
	}
	if again.ETag != s.ETag {
		t.Errorf("the same switch has the tags %s and %s", s.ETag, again.ETag)
	}
}

func TestPromise8GateFollowsItsConfigurationWhileStorageCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := lonely(t)
		m.data[overrideKey("g")] = []byte(`{"mode":"off","at":"2026-11-24T09:00:00Z"}`)
		m.set(errBroken)
		Begin(config(m, map[string]gate.Policy{"g": {}}))
		if s := state(t, "g"); s.State != gate.Open || len(s.Problems) == 0 || !strings.Contains(s.Problems[0], "disk is full") {
			t.Errorf("got %+v", s)
		}
		m.set(nil)
		// The switch and the flags are each read again by a timer of their own.
		await(t, "the stored switch to be read after all, and no problem left", func() bool {
			s := state(t, "g")
			return s.State == gate.Closed && len(s.Problems) == 0
		})
	})
}

func TestOldRecordWithOnCloseIsRead(t *testing.T) {
	m := lonely(t)
	m.data[overrideKey("g")] = []byte(`{"mode":"off","at":"2026-11-24T09:00:00Z","on_close":{"drain":true,"deadline":"7s","code":1012,"reason":"moving"}}`)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	want := gate.Closing{Drain: true, Deadline: 7 * time.Second, Code: 1012, Reason: "moving"}
	if s := state(t, "g"); s.Closing != want {
		t.Errorf("closing %+v, want %+v", s.Closing, want)
	}
}

func TestPromise8BrokenRecordIsAProblemAndNotInForce(t *testing.T) {
	m := lonely(t)
	m.data[overrideKey("g")] = []byte(`{"mode":"ajar"`)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	if s := state(t, "g"); s.State != gate.Open || len(s.Problems) != 1 {
		t.Errorf("got %+v", s)
	}
	if s := flip(t, "g", SwitchRequest{Mode: gate.Off}); s.State != gate.Closed || len(s.Problems) != 0 || !s.Stored {
		t.Errorf("a new word does not replace it: %+v", s)
	}
}

func TestPromise3StorageThatFailsIsTriedAgainUntilItHasTheNewestSwitch(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	m.set(errBroken)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // nobody waits
	s, err := Switch(ctx, "g", SwitchRequest{Mode: gate.Off, Reason: "first"})
	if err != nil || s.Stored || s.State != gate.Closed {
		t.Fatalf("got %+v, %v", s, err)
	}
	if _, err := Switch(ctx, "g", SwitchRequest{Mode: gate.Off, Reason: "second"}); err != nil {
		t.Fatal(err)
	}
	m.set(nil)
	await(t, "the word to be stored", func() bool { return state(t, "g").Stored })
	m.mu.Lock()
	record := string(m.data[overrideKey("g")])
	m.mu.Unlock()
	if !strings.Contains(record, "second") {
		t.Errorf("stored %s", record)
	}
}

func TestPromise3StorageThatHangsDelaysNoSwitch(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"g": {}, "h": {}}))
	m.mu.Lock()
	m.hang = make(chan struct{})
	m.mu.Unlock()
	defer close(m.hang)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	for _, name := range []string{"g", "h"} {
		if s, err := Switch(ctx, name, SwitchRequest{Mode: gate.Off}); err != nil || s.State != gate.Closed || s.Stored {
			t.Errorf("got %+v, %v", s, err)
		}
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestSameSwitchAgainChangesNothing(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	a := flip(t, "g", SwitchRequest{Mode: gate.Off, Reason: "r", Actor: "ana"})
	b := flip(t, "g", SwitchRequest{Mode: gate.Off, Reason: "r", Actor: "ana"})
	if a.ETag != b.ETag || !a.Since.Equal(b.Since) || !b.Stored {
		t.Errorf("%+v, %+v", a, b)
	}
}

func TestPromise3SecondOperatorGetsErrPrecondition(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	tag := state(t, "g").ETag
	flip(t, "g", SwitchRequest{Mode: gate.Off, IfMatch: tag})
	if _, err := Switch(t.Context(), "g", SwitchRequest{Mode: gate.On, IfMatch: tag}); !errors.Is(err, ErrPrecondition) {
		t.Errorf("got %v", err)
	}
	flip(t, "g", SwitchRequest{Mode: gate.On, IfMatch: `"other", ` + state(t, "g").ETag})
	flip(t, "g", SwitchRequest{Mode: gate.Auto, IfMatch: "*"})
}

func TestRequestsWithInvalidValuesAreRefused(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	for name, req := range map[string]SwitchRequest{
		"mode":             {Mode: "ajar"},
		"reason":           {Mode: gate.Off, Reason: strings.Repeat("x", 513)},
		"actor":            {Mode: gate.Off, Actor: "a\x00b"},
		"ttl":              {Mode: gate.Off, TTL: time.Millisecond},
		"closing.code":     {Mode: gate.Off, Closing: &gate.Closing{Drain: true, Code: 1005}},
		"closing.deadline": {Mode: gate.Off, Closing: &gate.Closing{Drain: true, Deadline: 25 * time.Hour}},
		"closing.reason":   {Mode: gate.Off, Closing: &gate.Closing{Drain: true, Reason: strings.Repeat("x", 124)}},
	} {
		var invalid *InvalidError
		if _, err := Switch(t.Context(), "g", req); !errors.As(err, &invalid) || invalid.Field != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	var unknown *UnknownGateError
	if _, err := Switch(t.Context(), "nobody", SwitchRequest{Mode: gate.Off}); !errors.As(err, &unknown) || !slices.Equal(unknown.Known, []string{"g"}) {
		t.Errorf("got %v", err)
	}
}

func TestPromise2FailedConfigurationLeavesNoTrace(t *testing.T) {
	m := lonely(t)
	old := config(m, map[string]gate.Policy{"g": {}})
	Begin(old)
	e := Acquire("g", gate.Policy{}, m)
	tun, _ := open(t, e)
	before := state(t, "g")

	failing := config(m, map[string]gate.Policy{"g": {Mode: gate.Off, Closing: gate.Closing{Drain: true, Deadline: time.Minute}}, "new": {}})
	fresh := Acquire("new", gate.Policy{}, m)
	Begin(failing)
	if state(t, "g").State == gate.Open {
		t.Error("the new policy does not answer")
	}
	if tun.told.Load() {
		t.Error("a tunnel was ended by a configuration that may be taken back")
	}
	End(failing)
	fresh.Release()
	after := state(t, "g")
	if after.State != gate.Open || !after.Since.Equal(before.Since) || after.Tunnels != 1 || tun.told.Load() {
		t.Errorf("was %+v, is %+v", before, after)
	}
	if _, err := StatusOf("new", time.Now()); err == nil {
		t.Error("a gate of a failed configuration is still there")
	}
	End(failing) // and Cleanup, which calls it again
}

func TestPromise1ReloadDrainsTunnelsOnceTheOldConfigurationHasStopped(t *testing.T) {
	m := lonely(t)
	old := config(m, map[string]gate.Policy{"g": {}, "gone": {Closing: gate.Closing{Drain: true, Deadline: time.Minute}}})
	Begin(old)
	kept, _ := open(t, Acquire("g", gate.Policy{}, m))
	leaving, _ := open(t, Acquire("gone", gate.Policy{}, m))
	next := config(m, map[string]gate.Policy{"g": {}})
	Begin(next)
	if leaving.told.Load() {
		t.Error("told before the old configuration has stopped")
	}
	End(old)
	if !leaving.told.Load() || kept.told.Load() {
		t.Errorf("gone told %v, kept told %v", leaving.told.Load(), kept.told.Load())
	}
}

func TestGateThatClosesDuringAHandshakeRefusesIt(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	e := Acquire("g", gate.Policy{}, m)
	flip(t, "g", SwitchRequest{Mode: gate.Off})
	var closed *ClosedError
	if _, err := e.Admit(Admission{}); !errors.As(err, &closed) || closed.Verdict.Open {
		t.Errorf("got %v", err)
	}
}

func TestStateIsDrainingWhileToldTunnelsAreOpen(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"g": {Closing: gate.Closing{Drain: true, Deadline: time.Minute}}}))
	tun, client := open(t, Acquire("g", gate.Policy{}, m))
	s := flip(t, "g", SwitchRequest{Mode: gate.Off, Reason: "why"})
	if s.State != gate.Draining || s.Draining != 1 || s.DrainReason != "why" || s.DrainCode != 1013 {
		t.Errorf("got %+v", s)
	}
	again := flip(t, "g", SwitchRequest{Mode: gate.Off, Reason: "why"})
	if !again.DrainUntil.Equal(s.DrainUntil) {
		t.Errorf("the deadline moved from %s to %s", s.DrainUntil, again.DrainUntil)
	}
	frame := make([]byte, 2)
	_ = client.SetReadDeadline(time.Now().Add(limit))
	if _, err := client.Read(frame); err != nil || frame[0] != 0x88 {
		t.Errorf("got %x, %v", frame, err)
	}
	_ = client.Close()
	tun.Wait()
	await(t, "the tunnel to leave", func() bool { return state(t, "g").State == gate.Closed })
}

func TestDrainOfManyTunnelsTakesItsTime(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	e := Acquire("g", gate.Policy{}, m)
	var many []*Tunnel
	for range 20 * closeAtOnce { // never started: nobody has to answer
		tun, err := e.Admit(Admission{})
		if err != nil {
			t.Fatal(err)
		}
		many = append(many, tun)
	}
	defer func() {
		for _, tun := range many {
			tun.Drop()
		}
	}()
	for _, tt := range []struct {
		patience, least, most time.Duration
		waited                bool // by another drain
	}{
		{time.Minute, 15 * closePause, limit, false},
		{time.Second, 0, 10 * closePause, false}, // a near deadline: all at once
		{time.Minute, 0, 10 * closePause, true},
	} {
		round := &closeRound{hurry: make(chan struct{})}
		if tt.waited {
			close(round.hurry)
		}
		began := time.Now()
		round.closeTunnels(many, tunnel.Closing{By: tunnel.ByGate, Code: 1013, Deadline: began.Add(tt.patience)})
		if took := time.Since(began); took < tt.least || took > tt.most {
			t.Errorf("with %s to go, waited for %v, it took %s", tt.patience, tt.waited, took)
		}
	}
}

func TestTotalsCountOpenAndEndedTunnels(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	e := Acquire("g", gate.Policy{}, m)
	message := []byte{0x82, 3, 1, 2, 3}
	var many []*Tunnel
	for range 2 {
		tun, client := open(t, e)
		if _, err := client.Write(message); err != nil {
			t.Fatal(err)
		}
		many = append(many, tun)
	}
	both := TotalsStatus{BytesUp: 10, MessagesUp: 2}
	await(t, "the messages to pass", func() bool { return state(t, "g").Totals == both })
	for left := len(many); left > 0; left-- {
		many[left-1].Close(tunnel.Closing{By: tunnel.ByError, Code: 1001})
		many[left-1].Wait()
		if s := state(t, "g"); s.Tunnels != left-1 || s.Totals != both {
			t.Errorf("got %+v of %d tunnels", s.Totals, s.Tunnels)
		}
	}
}

func TestTimeoutsEndTunnels(t *testing.T) {
	for name, v := range map[string]LimitValues{"idle": {Idle: 100 * time.Millisecond}, "lifetime": {Lifetime: 100 * time.Millisecond}} {
		t.Run(name, func(t *testing.T) {
			m := lonely(t)
			c := config(m, map[string]gate.Policy{"g": {}})
			c.Limits = map[string]map[string]LimitValues{"g": {"": v}}
			Begin(c)
			tun, client := open(t, Acquire("g", gate.Policy{}, m))
			frame := make([]byte, 2)
			_ = client.SetReadDeadline(time.Now().Add(limit))
			if _, err := client.Read(frame); err != nil || frame[0] != 0x88 {
				t.Errorf("got %x, %v", frame, err)
			}
			_ = client.Close()
			if res := tun.Wait(); res.By != tunnel.ByLimit || res.Code != 1001 || res.Duration < 100*time.Millisecond {
				t.Errorf("result %+v", res)
			}
		})
	}
}

func TestFlagsAreStoredAndInForceAfterARestart(t *testing.T) {
	m := lonely(t)
	Begin(config(m, nil))
	info, err := SetFlag(t.Context(), "ENABLE", "1", "")
	if err != nil || !info.Stored {
		t.Fatalf("%+v, %v", info, err)
	}
	if _, err := SetFlag(t.Context(), "ENABLE", "2", info.ETag); err != nil {
		t.Fatal(err)
	}
	if _, err := SetFlag(t.Context(), "ENABLE", "3", info.ETag); !errors.Is(err, ErrPrecondition) {
		t.Errorf("a late writer: %v", err)
	}
	reg = newRegistry()
	Begin(config(m, nil))
	if v, ok := Flag("ENABLE"); !ok || v != "2" {
		t.Errorf("after a restart: %q, %v", v, ok)
	}
	if stored, err := DeleteFlag(t.Context(), "ENABLE", ""); err != nil || !stored || m.says(t, flagKey("ENABLE"), "unset") != true {
		t.Errorf("deleting: %v, %v", stored, err)
	}
	var unknown *UnknownFlagError
	if _, err := DeleteFlag(t.Context(), "ENABLE", ""); !errors.As(err, &unknown) {
		t.Errorf("deleting again: %v", err)
	}
}

func TestFlagNames(t *testing.T) {
	for name, want := range map[string]bool{"A": true, "_x9": true, "": false, "9a": false, "a-b": false, "a/b": false, "ä": false, strings.Repeat("x", 129): false} {
		if (ValidFlagName(name) == nil) != want {
			t.Errorf("%q: %v", name, ValidFlagName(name))
		}
	}
}

func TestRecordsAreMovedWithTheStorage(t *testing.T) {
	m := lonely(t)
	first := config(named{m, "one"}, map[string]gate.Policy{"g": {}})
	Begin(first)
	flip(t, "g", SwitchRequest{Mode: gate.Off})
	if _, err := SetFlag(t.Context(), "F", "1", ""); err != nil {
		t.Fatal(err)
	}
	other := &memory{data: map[string][]byte{}}
	Begin(config(named{other, "two"}, map[string]gate.Policy{"g": {}}))
	End(first)
	await(t, "the new place to have both", func() bool { return other.has(overrideKey("g")) && other.has(flagKey("F")) })
}

// named is a storage that says where it is.
type named struct {
	*memory
	name string
}

func (n named) String() string { return n.name }

func TestMain(m *testing.M) { os.Exit(m.Run()) }

func TestTunnelsOfTheUpstreamsAddUp(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"g": {}, "shut": {Mode: gate.Off}}))
	var stop atomic.Bool
	var all sync.WaitGroup
	for _, name := range []string{"g", "shut"} {
		e := Acquire(name, gate.Policy{}, m)
		defer e.Release()
		for i := range 4 {
			all.Go(func() {
				for !stop.Load() {
					if tun, err := e.Admit(Admission{Upstream: fmt.Sprint("backend:", i)}); err == nil {
						tun.Drop()
					}
				}
			})
		}
	}
	for range 2000 {
		for _, s := range Statuses(time.Now()) {
			sum := 0
			for _, u := range s.Upstreams {
				sum += u.Tunnels
			}
			if sum != s.Tunnels || s.Name == "shut" && sum > 0 {
				t.Errorf("gate %s: %d tunnels, and %d of its upstreams", s.Name, s.Tunnels, sum)
				stop.Store(true)
			}
		}
		if stop.Load() {
			break
		}
	}
	stop.Store(true)
	all.Wait()
	if s := state(t, "g"); s.Tunnels != 0 || len(s.Upstreams) != 0 {
		t.Errorf("%d tunnels are left, of %+v", s.Tunnels, s.Upstreams)
	}
}
