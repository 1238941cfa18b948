package command

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	_ "github.com/wsgate/wsgate/admin" // the calls
	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/registry"
	"github.com/wsgate/wsgate/internal/testadmin"
	"github.com/wsgate/wsgate/internal/wire"
)

// caddyCLI runs `caddy wsgate …` against the test's Caddy.
func caddyCLI(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return rawCLI(t, append([]string{"--address", testadmin.Addr}, args...)...)
}

// rawCLI runs `caddy wsgate …` and adds nothing.
func rawCLI(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	root := &cobra.Command{Use: "caddy", SilenceUsage: true}
	wsgate := &cobra.Command{Use: "wsgate"}
	configure(wsgate)
	root.AddCommand(wsgate)
	var out, errs bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&errs)
	root.SetArgs(append([]string{"wsgate"}, args...))
	err = root.Execute()
	return out.String(), errs.String(), err
}

func TestMain(m *testing.M) { testadmin.Main(m) }

// shown returns a gate as the endpoint shows it.
func shown(t *testing.T, name string) (g wire.Gate) {
	t.Helper()
	text, _, err := caddyCLI(t, "status", "--json", "--", name)
	if err == nil {
		err = json.Unmarshal([]byte(text), &g)
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// has checks that a text has all of the words, in this order.
func has(t *testing.T, text string, words ...string) {
	t.Helper()
	rest := text
	for _, word := range words {
		_, after, ok := strings.Cut(rest, word)
		if !ok {
			t.Fatalf("%q is missing in:\n%s", word, text)
		}
		rest = after
	}
}

func TestCaddyKnowsTheCommand(t *testing.T) {
	c, ok := caddycmd.Commands()["wsgate"]
	if !ok {
		t.Fatal("caddy has no command wsgate")
	}
	var cmd cobra.Command
	c.CobraFunc(&cmd) // panics when two flags share a name
}

func TestWithoutAVerbThereIsHelpWithExamples(t *testing.T) {
	out, _, err := rawCLI(t)
	if err != nil {
		t.Fatal(err)
	}
	has(t, out, "$ caddy wsgate status", "--drain 60s", "flags set ENABLE_WS 1", "Available Commands", "status")
}

func TestTheCommandSwitchesAndSaysWhatHappened(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{"cli": {}, "cli-too": {}})
	testadmin.OpenTunnels(t, "cli", 12)

	out, _, err := caddyCLI(t, "status")
	if err != nil {
		t.Fatal(err)
	}
	has(t, out, "GATE", "MODE", "STATE", "TUNNELS", "SINCE", "UNTIL", "WHY\n",
		"cli ", "auto", "open", "12", "config: no rules\n", "cli-too", "auto", "open", "0")

	out, errs, err := caddyCLI(t, "off", "cli", "--reason", "db migration", "--ttl", "30m", "--actor", "ana")
	if err != nil || errs != "" {
		t.Fatal(err, errs)
	}
	has(t, out, "cli is closed until ", ": override: db migration (ana)\n", "12 tunnels stay open\n",
		"to take it back: caddy wsgate auto cli --address "+testadmin.Addr+"\n")

	out, _, err = caddyCLI(t, "off", "cli", "--drain", "1h", "--code", "1012", "--message", "back at nine", "--actor", "ana")
	if err != nil {
		t.Fatal(err)
	}
	has(t, out, "cli is closed until ", ": override: db migration (ana)\n", "12 tunnels were told to end (1012 back at nine), 0 are gone, 12 have until ")

	out, _, err = caddyCLI(t, "status", "cli")
	if err != nil {
		t.Fatal(err)
	}
	has(t, out, "gate", "cli\n", "mode", "off\n", "state", "draining since ", "why", "override",
		"switched", "off by ana from unix at ", "tunnels", "12 tunnels were told to end", "upstreams", "127.0.0.1:1: 12 tunnels", "handshakes", "0 accepted, 0 refused\n")

	out, _, err = caddyCLI(t, "on", "cli-too", "--reason", "demo")
	if err != nil {
		t.Fatal(err)
	}
	has(t, out, "cli-too is open: override: demo (", "no tunnel is open\n")

	out, _, err = caddyCLI(t, "auto", "cli-too")
	if err != nil {
		t.Fatal(err)
	}
	has(t, out, "cli-too is open: config: no rules\n")
}

func TestOffWaitsUntilItsSentenceIsTrue(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{"waits": {Closing: gate.Closing{Drain: true, Deadline: time.Hour}}})
	e := registry.Acquire("waits", gate.Policy{}, nil)
	t.Cleanup(e.Release)
	var open []*registry.Tunnel
	for range 3 {
		tun, err := e.Admit(registry.Admission{})
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, tun)
	}
	ended := make(chan struct{})
	go func() { // clients that answer, but not at once
		defer close(ended)
		for len(open) > 0 {
			if s, err := registry.StatusOf("waits", time.Now()); err != nil || s.Draining == len(open) {
				open[0].Drop()
				open = open[1:]
			}
			time.Sleep(time.Millisecond)
		}
	}()
	out, errs, err := caddyCLI(t, "off", "waits", "--reason", "fire")
	<-ended
	if err != nil || errs != "" {
		t.Fatal(err, errs)
	}
	has(t, out, "waits is closed: override: fire (", "3 tunnels were told to end (1013 fire), 3 are gone\n", "to take it back: caddy wsgate auto waits")
	if strings.Contains(out, "no tunnel") {
		t.Errorf("says that there was nothing to end: %s", out)
	}
}

func TestOffDoesNotWaitForEver(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{"stubborn": {Closing: gate.Closing{Drain: true, Deadline: time.Hour}}})
	testadmin.OpenTunnels(t, "stubborn", 2)
	began := time.Now()
	out, _, err := caddyCLI(t, "off", "stubborn")
	if err != nil {
		t.Fatal(err)
	}
	has(t, out, "2 tunnels were told to end (1013 ", "), 0 are gone, 2 have until ")
	if took := time.Since(began); took < drainWait || took > 2*drainWait {
		t.Errorf("waited %s, want %s", took, drainWait)
	}
}

func TestDisableAndEnableMeanOffAndOn(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{"words": {}})
	out, _, err := caddyCLI(t, "disable", "words", "--reason", "fire", "--keep")
	if err != nil {
		t.Fatal(err)
	}
	has(t, out, "words is closed: override: fire (")
	out, _, err = caddyCLI(t, "enable", "words", "--actor", "ana")
	if err != nil {
		t.Fatal(err)
	}
	has(t, out, "words is open: override: switched on (ana)\n", "to take it back: caddy wsgate off words --reason fire --keep --address "+testadmin.Addr+"\n")
	for _, args := range [][]string{{"--help"}, {"off", "--help"}, {"on", "--help"}} {
		out, _, err := rawCLI(t, args...)
		if err != nil || !strings.Contains(out, "disable") && !strings.Contains(out, "enable") {
			t.Errorf("%q says nothing of them: %v\n%s", args, err, out)
		}
	}
}

func TestEscalatingKeepsReasonAndEnd(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{"escalates": {}})
	run := func(args ...string) wire.Override {
		t.Helper()
		if _, _, err := caddyCLI(t, append([]string{"off", "escalates"}, args...)...); err != nil {
			t.Fatal(err)
		}
		g := shown(t, "escalates")
		if g.Override == nil {
			t.Fatal("no override")
		}
		return *g.Override
	}
	first := run("--reason", "db migration", "--ttl", "30m", "--actor", "ana")
	o := run("--drain", "4s", "--actor", "ben")
	if o.Reason != "db migration" || !o.Expires.Equal(first.Expires) || o.Actor != "ben" || o.Closing == nil || o.Closing.Deadline != "4s" {
		t.Errorf("%+v", o)
	}
	if o = run("--ttl", "never", "--reason", ""); o.Reason != "" || !o.Expires.IsZero() || o.Closing == nil {
		t.Errorf("taken back: %+v", o)
	}
}

func TestTheActorIsTheUserUnlessNamed(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{"actor": {}})
	t.Setenv("SUDO_USER", "mira")
	if _, _, err := caddyCLI(t, "off", "actor", "--keep"); err != nil {
		t.Fatal(err)
	}
	g := shown(t, "actor")
	if g.Override == nil || g.Override.Actor != "mira" || g.Override.Closing == nil || g.Override.Closing.Policy != "keep" {
		t.Errorf("%+v", g.Override)
	}
}

func TestJSONIsTheAnswerOfTheEndpoint(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{"json": {}})
	testadmin.Flag(t, "AS_JSON")
	for _, args := range [][]string{
		{"status", "--json"}, {"status", "json", "--json"}, {"off", "json", "--json"}, {"--json", "auto", "json"},
		{"flags", "--json"}, {"flags", "set", "AS_JSON", "1", "--json"}, {"flags", "get", "AS_JSON", "--json"},
		{"flags", "unset", "AS_JSON", "--json"},
	} {
		out, _, err := caddyCLI(t, args...)
		if err != nil || !json.Valid([]byte(out)) {
			t.Errorf("%q: %v in %s", args, err, out)
		}
	}
}

func TestFlagsAreSetAndShown(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{})
	testadmin.Flag(t, "CLI_FLAG")
	run := func(want string, args ...string) {
		t.Helper()
		out, errs, err := caddyCLI(t, append([]string{"flags"}, args...)...)
		if err != nil || errs != "" || out != want {
			t.Errorf("flags %q: %q, %q, %v; want %q", args, out, errs, err, want)
		}
	}
	run("no live flag is set\n")
	run("CLI_FLAG is \"a b\" now\n", "set", "CLI_FLAG", "a b")
	run("a b\n", "get", "CLI_FLAG")
	run("FLAG      VALUE\nCLI_FLAG  \"a b\"\n")
	run("FLAG      VALUE\nCLI_FLAG  \"a b\"\n", "list")
	run("CLI_FLAG is not set any more\n", "unset", "CLI_FLAG")
	if _, ok := registry.Flag("CLI_FLAG"); ok {
		t.Error("the flag is still set")
	}
}

func TestTheCommandRefusesPlainly(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{"known": {}})
	tests := []struct {
		args string
		says string
	}{
		{"of known", `unknown verb "of": want auto, flags, off, on or status`},
		{"off", "missing <gate>: want caddy wsgate off <gate>"},
		{"off known more", `surplus argument "more": want caddy wsgate off <gate>`},
		{"status a b", `surplus argument "b"`},
		{"off nosuch", `unknown gate "nosuch": there is known`},
		{"off a/b", `gate name "a/b": want`},
		{"off ..", `gate name "..": want`},
		{"off known --ttl soon", `--ttl "soon": want a time such as 30m, or never`},
		{"off known --ttl=", `--ttl "": want a time such as 30m`},
		{"auto known --ttl 5m", "unknown flag: --ttl"},
		{"on known --drain 5m", "unknown flag: --drain"},
		{"off known --keep --drain 5s", "want one of them"},
		{"off known --code 1012", "belong to --drain"},
		{"off known --drain 5s --code 1006", "closing.code: 1006 must not be sent"},
		{"off known --drain 5s --code 70000", "--code 70000: want"},
		{"off known --drain=", `--drain "": want a time`},
		{"off known --drain later", `--drain "later": want a time such as 60s`},
		{"flags put X", `unknown verb "put": want get, list, set or unset`},
		{"flags set X", "missing <value>: want caddy wsgate flags set <name> <value>"},
		{"flags set 1X 1", "flag name"},
		{"flags get NOT_SET", `flag "NOT_SET" is not set: no flag is`},
		{"flags unset NOT_SET", `flag "NOT_SET" is not set: no flag is`},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			out, errs, err := caddyCLI(t, strings.Fields(tt.args)...)
			if err == nil {
				t.Fatalf("accepted: %s", out)
			}
			if !strings.Contains(err.Error(), tt.says) || errs != "Error: "+err.Error()+"\n" {
				t.Errorf("says %q", errs)
			}
		})
	}
}

// stub is an admin endpoint with a fixed answer.
func stub(t *testing.T, status int, body string) (addr string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func TestTheCommandSaysWhatIsWrongWithTheEndpoint(t *testing.T) {
	tests := []struct {
		name, addr, says string
	}{
		{"nobody there", "unix/" + filepath.Join(t.TempDir(), "none"), "is Caddy running there?"},
		{"no address", "127.0.0.1:1-9", "invalid admin address"},
		{"a Caddy without wsgate", stub(t, 404, "404 page not found\n"), "has no wsgate in it"},
		{"a foreign server", stub(t, 502, "bad\x1b[31m gateway\n"), "answered 502: bad?[31m gateway"},
		{"no access", stub(t, 403, `{"error":"host not allowed: x"}`), "host not allowed: x"},
		{"not JSON", stub(t, 200, "<html>"), "reading the answer of 127.0.0.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, errs, err := rawCLI(t, "status", "--address", tt.addr)
			if err == nil || !strings.Contains(errs, tt.says) {
				t.Errorf("says %q", errs)
			}
		})
	}
}

func TestWhatIsNotStoredIsAWarning(t *testing.T) {
	const unstored = `{"name":"g","mode":"off","state":"closed","cause":"override","reason":"x","tunnels":1,"stored":false,
		"override":{"mode":"off"},"rules":[],"problems":["the switch is not stored yet"]}`
	out, errs, err := rawCLI(t, "off", "g", "--address", stub(t, 200, unstored))
	if err != nil {
		t.Fatal(err)
	}
	has(t, out, "g is closed: override: x\n", "1 tunnel stays open\n")
	has(t, errs, "warning: the switch is in force, but not stored yet")

	_, errs, err = rawCLI(t, "status", "--address", stub(t, 200, "["+unstored+"]"))
	if err != nil {
		t.Fatal(err)
	}
	has(t, errs, "warning: gate g: the switch is not stored yet")

	out, errs, err = rawCLI(t, "flags", "set", "X", "1", "--address", stub(t, 200, `{"value":"1","stored":false}`))
	if err != nil {
		t.Fatal(err)
	}
	has(t, out, `X is "1" now`)
	has(t, errs, "warning: flag X is in force, but not stored yet")
}

// shellWords returns the words of a command as a shell reads it.
func shellWords(t *testing.T, command string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", "-c", "caddy() { printf '%s\\0' \"$@\"; }\n"+command).Output() //nolint:gosec // the test's own
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

func TestTheCommandThatTakesASwitchBackWorksForEveryName(t *testing.T) {
	names := []string{"-x", "--", "--reason", "-", "-h", "...", ".x", "_", "auto", "a-b.c_d", strings.Repeat("-", 64)}
	gates := make(map[string]gate.Policy)
	for _, name := range names {
		gates[name] = gate.Policy{}
	}
	testadmin.Gates(t, gates)
	reasons := []string{"", "-x", "--keep", "--", "it's $HOME `id` \\", "=ls", "~", "#", "a  b ", "\"", "*", "été", "-", "!x"}
	for _, name := range names {
		for _, reason := range reasons {
			if _, _, err := caddyCLI(t, "off", "--reason", reason, "--actor", reason, "--drain", "9s", "--message", reason, "--", name); err != nil {
				t.Fatalf("%q: %v", name, err)
			}
			before := shown(t, name).Override
			for _, verb := range []string{"on", "auto"} {
				out, errs, err := caddyCLI(t, verb, "--", name)
				if err != nil {
					t.Fatal(err, errs)
				}
				_, command, found := strings.Cut(out, "to take it back: ")
				if !found {
					t.Fatalf("no command in %q", out)
				}
				words := shellWords(t, command)
				if _, errs, err := rawCLI(t, words[1:]...); err != nil {
					t.Fatalf("%s: %v %s", command, err, errs)
				}
				after := shown(t, name).Override
				if after == nil || after.Mode != before.Mode || after.Reason != before.Reason || *after.Closing != *before.Closing {
					t.Fatalf("%s: %+v, was %+v", command, after, before)
				}
			}
		}
	}
	// A switch that replaced nothing is taken back with auto.
	for _, name := range names {
		if _, _, err := caddyCLI(t, "auto", "--", name); err != nil {
			t.Fatal(err)
		}
		out, _, err := caddyCLI(t, "on", "--", name)
		if err != nil {
			t.Fatal(err)
		}
		_, command, _ := strings.Cut(out, "to take it back: ")
		if _, errs, err := rawCLI(t, shellWords(t, command)[1:]...); err != nil {
			t.Fatalf("%s: %v %s", command, err, errs)
		}
		if o := shown(t, name).Override; o != nil {
			t.Errorf("%s: %+v", command, o)
		}
	}
}

func TestValueThatLooksLikeAFlagComesAfterTwoDashes(t *testing.T) {
	testadmin.Gates(t, nil)
	if _, errs, err := caddyCLI(t, "flags", "set", "--", "DASHED", "-1"); err != nil {
		t.Fatal(err, errs)
	}
	if out, _, err := caddyCLI(t, "flags", "get", "DASHED"); err != nil || out != "-1\n" {
		t.Errorf("%q, %v", out, err)
	}
	if _, _, err := caddyCLI(t, "flags", "unset", "DASHED"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := caddyCLI(t, "flags", "set", "--", "-D", "1"); err == nil || !strings.Contains(err.Error(), "flag name") {
		t.Errorf("a flag's name cannot begin with a dash, and the error says %v", err)
	}
}
