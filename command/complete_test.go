package command

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/registry"
	"github.com/wsgate/wsgate/internal/testadmin"
)

// completed returns what a shell is offered for the last of args.
func completed(t *testing.T, args ...string) (offered []string, directive string) {
	t.Helper()
	root := &cobra.Command{Use: "caddy"}
	wsgate := &cobra.Command{Use: "wsgate"}
	configure(wsgate)
	root.AddCommand(wsgate)
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(new(bytes.Buffer)) // the shell does not read this
	root.SetArgs(append([]string{"__complete", "wsgate"}, args...))
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	last := len(lines) - 1
	return lines[:last], lines[last]
}

// noFiles is the directive that keeps a shell from offering files.
const noFiles = ":4"

func TestShellsCompleteTheNamesOfGatesAndFlags(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{
		"chat": {OpenWhen: []gate.Condition{{Name: "env_flag", Rule: namedRule{}}}, Mode: gate.On}, "chess": {},
	})
	testadmin.OpenTunnels(t, "chat", 1)
	testadmin.Flag(t, "SET_FLAG")
	if _, err := registry.SetFlag(context.Background(), "SET_FLAG", "a b", ""); err != nil {
		t.Fatal(err)
	}
	both := []string{"chat\topen, 1 tunnel is open", "chess\topen, 0 tunnels are open"}
	set := "SET_FLAG\tis \"a b\""
	for _, tt := range []struct {
		args string
		want []string
	}{
		{"status ", both}, {"off ", both}, {"on ", both}, {"auto ", both}, {"disable ", both}, {"enable ", both},
		{"off ch", both}, {"off --reason x ", both}, {"off che", both[1:]}, {"off x", nil}, {"off chat ", nil},
		{"flags get ", []string{set}}, {"flags unset ", []string{set}}, {"flags list ", nil}, {"flags get SET_FLAG ", nil},
		{"flags set ", []string{set, "WANTED\tnot set; gate chat looks at it"}}, {"flags set SET_FLAG ", nil},
		{"off --ttl ", nil}, {"off --reason ", nil}, {"off --drain ", nil},
	} {
		t.Run(tt.args, func(t *testing.T) {
			offered, directive := completed(t, append([]string{"--address", testadmin.Addr}, strings.Split(tt.args, " ")...)...)
			if !slices.Equal(offered, tt.want) || directive != noFiles {
				t.Errorf("offered %q %s, want %q", offered, directive, tt.want)
			}
		})
	}
}

// namedRule is a rule that uses a flag.
type namedRule struct{}

func (namedRule) Eval(time.Time) (bool, time.Time, error) { return true, time.Time{}, nil }
func (namedRule) Describe(time.Time) map[string]any       { return map[string]any{"name": "WANTED"} }

func TestCompletionIsSilentAndSoonOverWhereNobodyAnswers(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	dir := t.TempDir()
	off := file(t, dir, "off.json", `{"admin":{"disabled":true}}`)
	for name, args := range map[string][]string{
		"nobody there":    {"--address", "unix/" + dir + "/none", "off", ""},
		"no answer":       {"--address", silent.Addr().String(), "off", ""},
		"no answer twice": {"--address", silent.Addr().String(), "flags", "set", ""},
		"the end is off":  {"--config", off, "off", ""},
		"no such file":    {"--config", dir + "/none", "off", ""},
		"the terminal":    {"--config", "-", "off", ""},
		"not JSON":        {"--address", stub(t, 200, "<html>"), "off", ""},
		"half an answer":  {"--address", stub(t, 200, `[{"name":"x"},3]`), "off", ""},
		"an error":        {"--address", stub(t, 500, `{"error":"x"}`), "flags", "get", ""},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			offered, directive := completed(t, args...)
			if len(offered) > 0 || directive != noFiles {
				t.Errorf("offered %q %s", offered, directive)
			}
			if took := time.Since(began); took > completionLimit+500*time.Millisecond {
				t.Errorf("took %s", took)
			}
		})
	}
}
