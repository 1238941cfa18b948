package command

import (
	"strings"
	"testing"
	"time"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/wire"
)

func TestATableThatCanBeReadAtMidnight(t *testing.T) {
	now := time.Date(2026, 11, 22, 0, 3, 0, 0, time.Local)
	var b strings.Builder
	printGates(&b, []wire.Gate{
		{
			Name: "chat", Mode: gate.Off, State: gate.Draining, Cause: gate.CauseOverride, Reason: "db \x1b[31mmigration",
			Tunnels: 1214, Since: now.Add(-4 * time.Minute), Until: now.Add(26 * time.Minute), Override: &wire.Override{Actor: "ana"},
		},
		{Name: "default", Mode: gate.Auto, State: gate.Open, Cause: gate.CauseRule, Reason: "all rules hold", Since: now.Add(-60 * time.Hour)},
	}, now)
	want := `GATE     MODE  STATE     TUNNELS  SINCE                UNTIL     WHY
chat     off   draining  1214     23:59:00             00:29:00  override: db ?[31mmigration (ana)
default  auto  open      0        2026-11-19 12:03:00  -         rule: all rules hold
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestEachRuleHasALineOfItsOwn(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.Local)
	fails, healthy := 2, true
	var b strings.Builder
	printGate(&b, wire.Gate{
		Name: "chat", Mode: gate.Auto, State: gate.Closed, Cause: gate.CauseRule, Reason: "env_flag does not hold", Since: now,
		Rules: []wire.Rule{
			{Rule: "time_window", Holds: true, NextChange: now.Add(9 * time.Hour), Details: map[string]any{"zone": "Asia/Tokyo"}},
			{Rule: "env_flag", Not: true, Error: "gone", Details: map[string]any{"name": "ENABLE_WS", "value": "1"}},
		},
		Upstreams: []wire.Upstream{
			{Address: "10.0.0.1:80", Tunnels: 1, Healthy: new(bool), Fails: &fails}, {Address: "10.0.0.2:80", Healthy: &healthy}, {Address: "dynamic", Tunnels: 7},
		},
		Totals:  wire.Totals{Accepted: 7, Refused: 9, BytesUp: 10, MessagesUp: 1},
		Refused: map[string]int64{"malformed": 1, "upstream_timeout": 1, "closed": 7},
	}, now)
	want := `gate        chat
mode        auto
state       closed since 09:00:00
why         rule: env_flag does not hold
tunnels     no tunnel is open
rules       time_window: holds, next change 18:00:00, zone Asia/Tokyo
            not env_flag: does not hold, name ENABLE_WS, value 1, cannot be read: gone
upstreams   10.0.0.1:80: 1 tunnel, unhealthy, 2 failures
            10.0.0.2:80: 0 tunnels, healthy
            dynamic: 7 tunnels
handshakes  7 accepted, 9 refused (7 closed, 1 malformed, 1 upstream_timeout)
up          1 messages, 10 bytes
down        0 messages, 0 bytes
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestWhatBecomesOfTheTunnelsIsCounted(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.Local)
	drain := func(told, left int) *wire.Drain {
		return &wire.Drain{Told: told, Gone: told - left, Left: left, Deadline: now.Add(time.Minute), Code: 1013, Reason: "bye"}
	}
	late := drain(3, 1)
	late.Deadline = now.Add(-time.Second)
	tests := []struct {
		name string
		g    wire.Gate
		want string
	}{
		{"none", wire.Gate{State: gate.Closed}, "no tunnel is open"},
		{"none, and none was told", wire.Gate{State: gate.Closed, Drain: drain(0, 0)}, "no tunnel is open"},
		{"one stays", wire.Gate{State: gate.Closed, Tunnels: 1}, "1 tunnel stays open"},
		{"some stay", wire.Gate{State: gate.Closed, Tunnels: 12}, "12 tunnels stay open"},
		{"an open gate", wire.Gate{State: gate.Open, Tunnels: 12}, "12 tunnels are open"},
		{"one goes", wire.Gate{State: gate.Draining, Tunnels: 1, Drain: drain(1, 1)}, "1 tunnel was told to end (1013 bye), 0 are gone, 1 has until 09:01:00"},
		{"some go", wire.Gate{State: gate.Draining, Tunnels: 24, Drain: drain(1214, 24)}, "1214 tunnels were told to end (1013 bye), 1190 are gone, 24 have until 09:01:00"},
		{"all are gone", wire.Gate{State: gate.Closed, Drain: drain(3, 0)}, "3 tunnels were told to end (1013 bye), 3 are gone"},
		{"one is gone", wire.Gate{State: gate.Closed, Drain: drain(1, 0)}, "1 tunnel was told to end (1013 bye), 1 is gone"},
		{"the time is over", wire.Gate{State: gate.Closed, Tunnels: 1, Drain: late}, "3 tunnels were told to end (1013 bye), 2 are gone, 1 is being cut"},
		{"one is gone, one stays", wire.Gate{State: gate.Closed, Tunnels: 1, Drain: drain(1, 0)}, "1 tunnel was told to end (1013 bye), 1 is gone, 1 tunnel stays open"},
		{"one goes, new ones came", wire.Gate{State: gate.Open, Tunnels: 3, Drain: drain(1, 1)}, "1 tunnel was told to end (1013 bye), 0 are gone, 1 has until 09:01:00, 2 tunnels are open"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := strings.Join(tunnels(tt.g, now), ", "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestASwitchSaysHowToTakeItBack(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.Local)
	off, on := &wire.Override{Mode: gate.Off}, &wire.Override{Mode: gate.On}
	tests := []struct {
		name          string
		now, replaced *wire.Override
		want          string
	}{
		{"nothing was there", off, nil, "auto chat"},
		{"the same mode", off, &wire.Override{Mode: gate.Off, Reason: "x"}, "auto chat"},
		{"another mode", off, on, "on chat"},
		{"auto, and nothing was there", nil, nil, ""},
		{"auto in place of a switch", nil, off, "off chat"},
		{"words", on, &wire.Override{Mode: gate.Off, Reason: "it's $HOME"}, `off chat --reason 'it'\''s $HOME'`},
		{"an end", on, &wire.Override{Mode: gate.Off, Expires: now.Add(90*time.Second + time.Millisecond)}, "off chat --ttl 1m30s"},
		{"an end that has passed", on, &wire.Override{Mode: gate.Off, Expires: now.Add(time.Millisecond)}, "auto chat"},
		{"an end that has passed, and auto", nil, &wire.Override{Mode: gate.Off, Expires: now}, ""},
		{"keep", nil, &wire.Override{Mode: gate.Off, Closing: &wire.Closing{Policy: "keep"}}, "off chat --keep"},
		{"drain", nil, &wire.Override{Mode: gate.Off, Closing: &wire.Closing{Policy: "drain", Deadline: "1m", Code: 1012, Reason: "back at nine"}}, "off chat --drain 1m --code 1012 --message 'back at nine'"},
		{"a text that steers a terminal", nil, &wire.Override{Mode: gate.Off, Reason: "\x1b[2J"}, "off chat --reason '?[2J'"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := undoCommand(wire.Switched{Gate: wire.Gate{Name: "chat", Override: tt.now}, Replaced: tt.replaced}, now); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestDurationsAreWrittenAsPeopleDo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 30 * time.Second: "30s", time.Minute: "1m", 90 * time.Second: "1m30s", 10 * time.Minute: "10m",
		time.Hour: "1h", 24 * time.Hour: "24h", time.Hour + 10*time.Second: "1h0m10s", 1500 * time.Millisecond: "1.5s",
	} {
		if got := wire.Short(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
