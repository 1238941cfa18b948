package policy

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/words"
)

// parse reads lines as the block of a gate, the way the directive and the global
// option do. It fails the test for a line that is no word of a policy.
func parse(t *testing.T, lines string) (*Words, error) {
	t.Helper()
	d := caddyfile.NewTestDispenser("gate chat {\n" + lines + "\n}")
	d.Next()
	p := &Words{Start: d.Token(), Seen: make(words.Once)}
	d.NextArg()
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		known, err := p.Word(words.Dispenser(d.NextSegment()...))
		if err != nil {
			return p, err
		}
		if !known {
			t.Fatalf("%q is no word of a policy", d.Val())
		}
	}
	return p, nil
}

// warned returns what is logged while do runs.
func warned(t *testing.T, do func()) []observer.LoggedEntry {
	t.Helper()
	_, before, buffered := caddy.BufferedLog()
	do()
	core, logs := observer.New(zapcore.DebugLevel)
	buffered.FlushTo(zap.New(core))
	caddy.UnbufferDefaultLogger(before)
	return logs.All()
}

func TestLinesOfACaddyfileBecomeJSON(t *testing.T) {
	for name, tt := range map[string]struct{ lines, want string }{
		"nothing":                      {``, `{}`},
		"an id":                        {`id chat`, `{"@id":"chat"}`},
		"a mode":                       {`mode off`, `{"mode":"off"}`},
		"the status":                   {`when_closed 503`, `{"when_closed":503}`},
		"a reason with the time":       {`reason "back at {wsgate.until}"`, `{"reason":"back at {wsgate.until}"}`},
		"keep":                         {`closing keep`, `{"closing":{"policy":"keep"}}`},
		"drain":                        {`closing drain`, `{"closing":{"policy":"drain"}}`},
		"a deadline":                   {`closing drain 90s`, `{"closing":{"policy":"drain","deadline":90000000000}}`},
		"the longest deadline":         {`closing drain 1d`, `{"closing":{"policy":"drain","deadline":86400000000000}}`},
		"a deadline that begins lower": {`closing drain .5s`, `{"closing":{"policy":"drain","deadline":500000000}}`},
		"a deadline with a sign":       {`closing drain +5s`, `{"closing":{"policy":"drain","deadline":5000000000}}`},
		"a code":                       {`closing drain code 4999`, `{"closing":{"policy":"drain","code":4999}}`},
		"a reason of the closing":      {`closing drain "bye"`, `{"closing":{"policy":"drain","reason":"bye"}}`},
		"a reason that is a number":    {`closing drain "9 pm"`, `{"closing":{"policy":"drain","reason":"9 pm"}}`},
		"a reason that is a word":      {`closing drain "code"`, `{"closing":{"policy":"drain","reason":"code"}}`},
		"a reason of 123 bytes":        {`closing drain "` + strings.Repeat("x", 123) + `"`, `{"closing":{"policy":"drain","reason":"` + strings.Repeat("x", 123) + `"}}`},
		"all of a closing":             {`closing drain 5s code 1012 "bye"`, `{"closing":{"policy":"drain","deadline":5000000000,"code":1012,"reason":"bye"}}`},
		"a rule":                       {`open_when env_flag A`, `{"open_when":[{"rule":{"env_flag":{"flags":[{"name":"A"}]}}}]}`},
		"two rules, one inverted":      {"open_when env_flag A\nopen_when not env_flag B 1", `{"open_when":[{"rule":{"env_flag":{"flags":[{"name":"A"}]}}},{"not":true,"rule":{"env_flag":{"flags":[{"name":"B","value":"1"}]}}}]}`},
		"a rule in a block":            {"open_when time_window {\n09:00-12:00\n}", `{"open_when":[{"rule":{"time_window":{"windows":[{"hours":["09:00-12:00"]}]}}}]}`},
		"several words":                {"mode auto\nclosing keep\nreason back", `{"mode":"auto","closing":{"policy":"keep"},"reason":"back"}`},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := parse(t, tt.lines)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(p.Policy)
			if err != nil {
				t.Fatal(err)
			}
			if equal, err := sameJSON(got, []byte(tt.want)); err != nil || !equal {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
}

// sameJSON reports whether two texts mean the same.
func sameJSON(a, b []byte) (bool, error) {
	var x, y any
	err := errors.Join(json.Unmarshal(a, &x), json.Unmarshal(b, &y))
	return reflect.DeepEqual(x, y), err
}

func TestLinesThatCannotBeMeantAreRefusedWithWhatWouldBeRight(t *testing.T) {
	const closing = `want keep, or drain [<deadline>] [code <code>] ["<reason>"]`
	for lines, want := range map[string]string{
		"id":                                   "id: want a name",
		"id a/b":                               `id "a/b": want 1 to 64 letters`,
		"id a b":                               `id: one word too many: "b"`,
		"id a\nid b":                           "id is given twice",
		"mode":                                 "mode: want auto, on or off",
		`mode ""`:                              `mode "": want auto, on or off`,
		"mode open":                            `mode "open": want on`,
		"mode CLOSED":                          `mode "CLOSED": want off`,
		"mode atuo":                            `mode "atuo": did you mean auto?`,
		"mode maybe":                           `mode "maybe": want auto, on or off`,
		"mode on off":                          `mode: one word too many: "off"`,
		"mode on {\nx\n}":                      "mode takes no block",
		"mode on\nmode on":                     "mode is given twice",
		"when_closed":                          "when_closed: want 503",
		"when_closed 404":                      `when_closed "404": want 503, the only answer there is so far`,
		"when_closed 503 x":                    `when_closed: one word too many: "x"`,
		"reason":                               "reason: want what clients read while the gate is closed",
		`reason ""`:                            "reason: want what clients read while the gate is closed",
		`reason "{env.X}"`:                     "reason: unknown placeholder {env.X}",
		"reason " + strings.Repeat("x", 513):   "reason: 513 bytes: want at most 512",
		"reason see you":                       `reason: one word too many: "you"`,
		"on_close drain":                       "on_close is called closing now: want closing, with the same arguments",
		"on_open ramp":                         "on_open is no word: it will be called opening",
		"closing":                              "closing: " + closing,
		"closing keep 30s":                     `closing keep: nothing follows keep, got "30s"`,
		"closing keep\nclosing drain":          "closing is given twice",
		"closing 60s":                          `closing "60s": want drain 60s`,
		"closing 60sec":                        `closing "60sec": want drain 60s`,
		"closing drian":                        `closing "drian": did you mean drain?`,
		"closing kill":                         `closing "kill": ` + closing,
		"closing drain 60":                     `closing drain: "60": want 60s; a reason that begins like this stands in quotes`,
		"closing drain 9pm":                    `closing drain: "9pm": want a deadline such as 30s; a reason that begins like this stands in quotes`,
		"closing drain 0s":                     `closing drain: deadline "0s": want more than zero, at most 24h`,
		"closing drain -1s":                    `closing drain: deadline "-1s": want more than zero, at most 24h`,
		"closing drain 24h1ns":                 `closing drain: deadline "24h1ns": want more than zero, at most 24h`,
		"closing drain /":                      `closing drain: "/": ` + closing,
		"closing drain :":                      `closing drain: ":": ` + closing,
		"closing drain ,":                      `closing drain: ",": ` + closing,
		"closing drain 5s back":                `closing drain: "back": ` + closing + "; a reason stands in quotes",
		"closing drain 5s 6s":                  `closing drain: "6s": ` + closing,
		`closing drain "bye" code 1013`:        `closing drain: "code": ` + closing,
		`closing drain "code" 1013`:            `closing drain: "1013": ` + closing,
		"closing drain code":                   "closing drain: code: want a close code such as 1013",
		"closing drain code soon":              `closing drain: code "soon": want a number such as 1013`,
		"closing drain code 1005":              "closing drain: code 1005 never goes on the wire",
		"closing drain code 1006":              "closing drain: code 1006 never goes on the wire",
		"closing drain code 1015":              "closing drain: code 1015 never goes on the wire",
		"closing drain code 1004":              "closing drain: code 1004: want 1000-1003, 1007-1014 or 3000-4999",
		`closing drain ""`:                     "closing drain: an empty reason",
		`closing drain "{env.X}"`:              "closing drain: the reason: unknown placeholder {env.X}",
		`closing drain "` + long + `"`:         "closing drain: the reason has 124 bytes: a close frame takes 123 at most",
		"open_when":                            "open_when: want a rule: env_flag or time_window",
		"open_when not":                        "open_when not: want a rule on the same line: env_flag or time_window",
		"open_when not not env_flag A":         "open_when: not is given twice",
		"open_when client_ip 10.0.0.0/8":       "open_when client_ip: client_ip needs a request, so it is no rule",
		"open_when time_window 25:00-26:00":    `time_window: hours "25:00-26:00"`,
		"open_when moon_phase full":            "open_when moon_phase: unknown rule: want env_flag or time_window",
		"open_when A":                          "open_when A: unknown rule: want env_flag or time_window",
		"open_when 9 mon-fri":                  "open_when 9: unknown rule: want env_flag or time_window",
		"open_when time-window 09:00-18:00":    "open_when time-window: unknown rule: did you mean time_window?",
		"open_when schedule 09:00-18:00":       "open_when schedule: unknown rule: want open_when time_window 09:00-18:00",
		"open_when not FLAG A":                 "open_when FLAG: unknown rule: want open_when not env_flag A",
		"open_when !env_flag A":                "open_when !env_flag: want open_when not env_flag A",
		"open_when !":                          "open_when !: unknown rule: want env_flag or time_window",
		"open_when not_time_window 9":          "open_when not_time_window: want open_when not time_window 9",
		"open_when not-A":                      "open_when not-A: want open_when not A",
		"open_when 09:00-18:00 mon-fri":        "open_when 09:00-18:00: want open_when time_window 09:00-18:00 mon-fri",
		"open_when 0-9":                        "open_when 0-9: want open_when time_window 0-9",
		"open_when 9:00":                       "open_when 9:00: want open_when time_window 9:00",
		"open_when not ENABLE_WS":              "open_when ENABLE_WS: want open_when not env_flag ENABLE_WS",
		"open_when ENABLE_WS=1":                "open_when ENABLE_WS=1: want open_when env_flag ENABLE_WS 1",
		`open_when ""`:                         "open_when : unknown rule: want env_flag or time_window",
		"open_when env_flag A {\nB\n}":         "env_flag A: takes no block",
		"mode on\nopen_when\nopen_when flag A": "open_when: want a rule",
	} {
		t.Run(lines, func(t *testing.T) {
			if _, err := parse(t, lines); err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "Testfile:") {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}

// long is one byte too long for a close frame.
var long = strings.Repeat("x", 124)

func TestWordsOfOthersAreLeftToThem(t *testing.T) {
	p := &Words{Seen: make(words.Once)}
	for _, line := range []string{"to a:1", "gate chat", "modes on", ""} {
		d := caddyfile.NewTestDispenser(line)
		d.Next()
		if known, err := p.Word(d); known || err != nil {
			t.Errorf("%q: known %v, %v", line, known, err)
		}
	}
	if p.Any() || !p.Policy.Empty() {
		t.Errorf("it is a word of the policy: %v, %+v", p.First, p.Policy)
	}
}

func TestPolicyBeginsAtItsFirstWord(t *testing.T) {
	for lines, want := range map[string]int{
		"mode on\nopen_when env_flag A": 2,
		"\nopen_when env_flag A\nid x":  3,
	} {
		p, err := parse(t, lines)
		if err != nil {
			t.Fatal(err)
		}
		if !p.Any() || p.First.Line != want {
			t.Errorf("%q: any %v, line %d", lines, p.Any(), p.First.Line)
		}
	}
	p, err := parse(t, "")
	if err != nil || p.Any() {
		t.Errorf("nothing is a policy: %v", err)
	}
	if err := p.Errf("gate %s", "chat"); err.Error() != "gate chat, at Testfile:1" {
		t.Errorf("an error of the whole reads %q", err)
	}
}

func TestLongReasonIsWarnedOf(t *testing.T) {
	for name, tt := range map[string]struct {
		reason string
		bytes  int64 // zero: no warning
	}{
		"just fits":                  {strings.Repeat("x", mostFixed), 0},
		"just fits, beside the time": {strings.Repeat("x", mostFixed) + "{wsgate.until}", 0},
		"a byte too long":            {strings.Repeat("x", mostFixed+1), mostFixed + 1},
		"too long, beside the time":  {"{wsgate.until}" + strings.Repeat("x", 100), 100},
	} {
		t.Run(name, func(t *testing.T) {
			logged := warned(t, func() {
				if _, err := parse(t, `reason "`+tt.reason+`"`); err != nil {
					t.Error(err)
				}
			})
			if tt.bytes == 0 {
				if len(logged) > 0 {
					t.Errorf("warned: %v", logged)
				}
				return
			}
			if len(logged) != 1 || !strings.HasPrefix(logged[0].Message, "reason is long") || logged[0].ContextMap()["bytes"] != tt.bytes || logged[0].ContextMap()["line"] != int64(2) {
				t.Errorf("warned: %v", logged)
			}
		})
	}
}

func TestRulesThatSayNothingAreWarnedOf(t *testing.T) {
	const unasked = " stands beside open_when in this wsgate: its rules are not asked"
	for name, tt := range map[string]struct{ lines, want string }{
		"nothing":                     {"", ""},
		"a mode alone":                {"mode off", ""},
		"a rule alone":                {"open_when env_flag A", ""},
		"auto beside a rule":          {"mode auto\nopen_when env_flag A", ""},
		"on beside a rule":            {"mode on\nopen_when env_flag A", "mode on" + unasked},
		"off beside a rule":           {"open_when env_flag A\nmode off", "mode off" + unasked},
		"rules that never hold":       {"open_when env_flag A\nopen_when not env_flag A", "the gate of this wsgate can never open by its rules"},
		"on beside such rules":        {"mode on\nopen_when env_flag A\nopen_when not env_flag A", "mode on" + unasked},
		"an inverted one is inverted": {"open_when not time_window 00:00-24:00", "the gate of this wsgate can never open by its rules"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := parse(t, tt.lines)
			if err != nil {
				t.Fatal(err)
			}
			logged := warned(t, func() { p.WarnOfContradictions("chat") })
			if tt.want == "" && len(logged) > 0 || tt.want != "" && (len(logged) != 1 || logged[0].Message != tt.want) {
				t.Errorf("warned: %v", logged)
			}
		})
	}
}

func TestEachWordMayAlsoStandInTheGlobalOption(t *testing.T) {
	lines := map[string]string{"mode": "mode on", "open_when": "open_when env_flag A", "when_closed": "when_closed 503", "reason": "reason x", "closing": "closing keep"}
	for _, name := range Names {
		if p, err := parse(t, lines[name]); err != nil || p.Policy.Empty() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(Names) != len(lines) {
		t.Errorf("words %v", Names)
	}
}

// provision decodes and provisions a policy.
func provision(t *testing.T, text string) (gate.Policy, error) {
	t.Helper()
	p := new(Policy)
	if err := json.Unmarshal([]byte(text), p); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	return p.Provision(ctx)
}

func TestJSONThatCannotBeMeantIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{"mode":"open"}`:                                "unknown mode",
		`{"when_closed":404}`:                            "when_closed 404: want 503",
		`{"reason":"{env.X}"}`:                           "reason: unknown placeholder",
		`{"closing":{"policy":"kill"}}`:                  `closing: unknown policy "kill": want keep or drain`,
		`{"closing":{"deadline":"30s"}}`:                 "closing: keep closes nothing",
		`{"closing":{"policy":"keep","code":1013}}`:      "closing: keep closes nothing",
		`{"closing":{"reason":"bye"}}`:                   "closing: keep closes nothing",
		`{"closing":{"policy":"drain","code":65536}}`:    "closing: closing.code: 65536 must not be sent",
		`{"closing":{"policy":"drain","code":65535}}`:    "closing: closing.code: 65535 must not be sent",
		`{"open_when":[{}]}`:                             "open_when 1: 0 rules: want exactly one",
		`{"open_when":[{"rule":{"a":{},"b":{}}}]}`:       "open_when 1: 2 rules: want exactly one",
		`{"open_when":[{"rule":{"moon_phase":{}}}]}`:     `open_when 1: loading rule "moon_phase"`,
		`{"open_when":[{"rule":{"path":["/x"]}}]}`:       `open_when 1: "path" needs a request, so it is no rule`,
		`{"open_when":[` + notB + `,{"rule":{}}]}`:       "open_when 2: 0 rules",
		`{"open_when":[{"rule":{"env_flag":{"x":1}}}]}`:  `open_when 1: loading rule "env_flag"`,
		`{"on_close":null,"on_close":{"policy":"keep"}}`: "on_close is called closing now",
	} {
		t.Run(text, func(t *testing.T) {
			if _, err := provision(t, text); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}

const (
	notB  = `{"not":true,"rule":{"env_flag":{"flags":[{"name":"WSGATE_TEST_B"}]}}}`
	onlyB = `{"rule":{"env_flag":{"flags":[{"name":"WSGATE_TEST_B"}]}}}`
)

func TestPolicyIsProvisionedWithItsDefaults(t *testing.T) {
	out, err := provision(t, `{"reason":"back soon","closing":{"policy":"drain","code":4000,"reason":"bye"},"open_when":[`+notB+`,`+onlyB+`]}`)
	if err != nil {
		t.Fatal(err)
	}
	if out.Mode != "auto" || out.Reason != "back soon" || !out.Closing.Drain || out.Closing.Deadline != 30*time.Second || out.Closing.Code != 4000 || out.Closing.Reason != "bye" {
		t.Errorf("got %+v", out)
	}
	if len(out.OpenWhen) != 2 || out.OpenWhen[0].Name != "env_flag" || !out.OpenWhen[0].Not || out.OpenWhen[1].Not {
		t.Fatalf("rules %+v", out.OpenWhen)
	}
	for value, want := range map[string]bool{"1": true, "0": false} {
		t.Setenv("WSGATE_TEST_B", value)
		if holds, _, err := out.OpenWhen[1].Rule.Eval(time.Now()); holds != want || err != nil {
			t.Errorf("with the value %s the rule holds: %v, %v", value, holds, err)
		}
	}
	if out, err := provision(t, `{"closing":{"policy":"keep"}}`); err != nil || out.Closing != (gate.Closing{}) {
		t.Errorf("keep is %+v, %v", out.Closing, err)
	}
}
