package registry

import (
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/events"
)

// What a switch keeps of the one before, and what it says of it.

func TestSwitchInTheSameModeKeepsTheFieldsThatItDoesNotHave(t *testing.T) {
	drains := &gate.Closing{Drain: true, Deadline: time.Minute, Code: 1012, Reason: "back at nine"}
	at := time.Now().Add(time.Hour)
	for name, tt := range map[string]struct {
		first, second SwitchRequest
		reason        string
		ends          bool
		closing       *gate.Closing
	}{
		"the reason": {
			SwitchRequest{Mode: gate.Off, Reason: "db migration"}, SwitchRequest{Mode: gate.Off, Closing: drains},
			"db migration", false, drains,
		},
		"the end": {
			SwitchRequest{Mode: gate.Off, TTL: time.Hour}, SwitchRequest{Mode: gate.Off, Reason: "fire"},
			"fire", true, nil,
		},
		"the closing": {
			SwitchRequest{Mode: gate.Off, Closing: new(gate.Closing)}, SwitchRequest{Mode: gate.Off, Reason: "fire"},
			"fire", false, new(gate.Closing),
		},
		"all of it": {
			SwitchRequest{Mode: gate.Off, Reason: "fire", TTL: time.Hour, Closing: drains}, SwitchRequest{Mode: gate.Off, Actor: "ben"},
			"fire", true, drains,
		},
		"when it is switched on": {
			SwitchRequest{Mode: gate.On, Reason: "demo"}, SwitchRequest{Mode: gate.On, TTL: time.Hour},
			"demo", true, nil,
		},
		"but not a reason that is taken back": {
			SwitchRequest{Mode: gate.Off, Reason: "fire", TTL: time.Hour}, SwitchRequest{Mode: gate.Off, NoReason: true},
			"", true, nil,
		},
		"but not an end that is taken back": {
			SwitchRequest{Mode: gate.Off, Reason: "fire", TTL: time.Hour}, SwitchRequest{Mode: gate.Off, NoEnd: true},
			"fire", false, nil,
		},
		"but nothing of another mode": {
			SwitchRequest{Mode: gate.Off, Reason: "fire", TTL: time.Hour, Closing: drains}, SwitchRequest{Mode: gate.On},
			"", false, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := lonely(t)
			Begin(config(m, map[string]gate.Policy{"g": {}}))
			tt.first.Actor = "ana"
			flip(t, "g", tt.first)
			o := flip(t, "g", tt.second).Override
			if o == nil || o.Mode != tt.second.Mode || o.Reason != tt.reason || o.Actor != tt.second.Actor || !reflect.DeepEqual(o.Closing, tt.closing) {
				t.Errorf("%+v", o)
			}
			if ends := !o.Expires.IsZero(); ends != tt.ends || ends && o.Expires.Sub(at).Abs() > time.Minute {
				t.Errorf("ends at %s", o.Expires)
			}
		})
	}
}

func TestSwitchAfterTheEndOfAnotherOneKeepsNoneOfItsFields(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	e, err := reg.lookup("g")
	if err != nil {
		t.Fatal(err)
	}
	flip(t, "g", SwitchRequest{Mode: gate.Off, Reason: "fire", TTL: time.Hour})
	later := time.Now().Add(2 * time.Hour) // nobody has looked meanwhile
	replaced, err := e.switchTo(SwitchRequest{Mode: gate.Off, Actor: "ben"}, later)
	if err != nil || replaced != nil {
		t.Errorf("replaced %+v, %v", replaced, err)
	}
	if o := e.gate.Snapshot().Override; o == nil || o.Reason != "" || !o.Expires.IsZero() {
		t.Errorf("%+v", o)
	}
}

func TestSwitchReturnsTheOverrideThatItReplaced(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	throw := func(req SwitchRequest) *gate.Override {
		t.Helper()
		s, err := Switch(t.Context(), "g", req)
		if err != nil {
			t.Fatal(err)
		}
		return s.Replaced
	}
	if o := throw(SwitchRequest{Mode: gate.Off, Reason: "fire", Actor: "ana"}); o != nil {
		t.Errorf("the first one replaced %+v", o)
	}
	if o := throw(SwitchRequest{Mode: gate.Off, Actor: "ana"}); o != nil {
		t.Errorf("the same word again replaced %+v", o)
	}
	if o := throw(SwitchRequest{Mode: gate.On}); o == nil || o.Mode != gate.Off || o.Reason != "fire" || o.Actor != "ana" || o.At.IsZero() {
		t.Errorf("on replaced %+v", o)
	}
	if o := throw(SwitchRequest{Mode: gate.Auto}); o == nil || o.Mode != gate.On {
		t.Errorf("auto replaced %+v", o)
	}
	if o := throw(SwitchRequest{Mode: gate.Auto}); o != nil {
		t.Errorf("auto again replaced %+v", o)
	}
}

// listener remembers what is published of gates, while the test runs.
type listener struct {
	mu   sync.Mutex
	last events.Event
	n    map[reflect.Type]int
}

func listen(t *testing.T) *listener {
	t.Helper()
	l := &listener{n: make(map[reflect.Type]int)}
	t.Cleanup(events.Default.Listen(events.Listener{Hear: l.hear}))
	return l
}

func (l *listener) hear(e events.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := e.What.(GateChanged); ok {
		l.last = e
	}
	l.n[reflect.TypeOf(e.What)]++
}

// heard returns how many events of what's type were heard, and the last change.
func (l *listener) heard(t *testing.T, what any) (n int, last GateChanged) {
	t.Helper()
	events.Default.Flush(t.Context())
	l.mu.Lock()
	defer l.mu.Unlock()
	last, _ = l.last.What.(GateChanged)
	return l.n[reflect.TypeOf(what)], last
}

func TestChangeNamesTheOperatorOfASwitchToAuto(t *testing.T) {
	m := lonely(t)
	l := listen(t)
	heard := func(open bool, actor, from string) {
		t.Helper()
		if _, c := l.heard(t, GateChanged{}); c.Snapshot == nil || c.Snapshot.Open != open || c.Actor != actor || c.From != from {
			t.Errorf("heard %+v; want open %v, by %q from %q", c, open, actor, from)
		}
	}
	setFlag(t, "1")
	Begin(config(m, map[string]gate.Policy{"g": {OpenWhen: onFlag(nil)}}))
	flip(t, "g", SwitchRequest{Mode: gate.Off, Actor: "ana", From: "192.0.2.1"})
	heard(false, "ana", "192.0.2.1")
	flip(t, "g", SwitchRequest{Mode: gate.Auto, Actor: "ben", From: "192.0.2.2"})
	heard(true, "ben", "192.0.2.2")
	setFlag(t, "0")
	await(t, "the rule", func() bool { return state(t, "g").State == gate.Closed })
	heard(false, "", "")
	ends := flip(t, "g", SwitchRequest{Mode: gate.On, TTL: time.Hour, Actor: "ana", From: "192.0.2.1"}).Override.Expires
	heard(true, "ana", "192.0.2.1")
	e, _ := reg.lookup("g")
	e.refreshAt(ends)
	heard(false, "", "")
}

func TestUpstreamsAreThoseOfTheConfigurationAndThoseWithTunnels(t *testing.T) {
	got := upstreamStatuses(map[string]int{"a:1": 3, "gone:1": 0, "left:1": 2, "dynamic": 5}, []UpstreamHealth{
		{Address: "b:1", Healthy: true}, {Address: "a:1", Healthy: true}, {Address: "a:1", Fails: 2}, {Address: "b:1", Healthy: true},
	})
	want := []UpstreamStatus{
		{Address: "a:1", Tunnels: 3, Health: &UpstreamHealth{Address: "a:1", Fails: 2}},
		{Address: "b:1", Health: &UpstreamHealth{Address: "b:1", Healthy: true}},
		{Address: "dynamic", Tunnels: 5},
		{Address: "left:1", Tunnels: 2},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}
