package command

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/spf13/cobra"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/testadmin"
)

// file writes a file in the test's directory.
func file(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// found runs a command with flags, and returns where it finds the admin
// endpoint.
func found(t *testing.T, stdin string, args ...string) (addr string, err error) {
	t.Helper()
	cmd := &cobra.Command{Use: "wsgate"}
	configure(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		addr, err = findEndpoint(cmd)
		return nil
	}
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetArgs(args)
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	return addr, err
}

func TestTheEndpointIsFoundWhereReloadFindsIt(t *testing.T) {
	const caddyfile, json = "{\n\tadmin localhost:2020\n}\n", `{"admin":{"listen":"localhost:2021"}}`
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("WSGATE_TEST_PORT", "2022")
	site := file(t, dir, "site.caddyfile", caddyfile)
	native := file(t, dir, "caddy.json", json)
	plain := file(t, dir, "conf", json)
	unnamed := file(t, dir, "conf.txt", caddyfile)
	silent := file(t, dir, "silent.json", `{}`)
	empty := file(t, dir, "empty.json", "")
	placed := file(t, dir, "placed.json", `{"admin":{"listen":"localhost:{env.WSGATE_TEST_PORT}"}}`)
	tests := []struct {
		name, stdin string
		args        []string
		want        string
	}{
		{"nothing", "", nil, caddy.DefaultAdminListen},
		{"an address", "", []string{"--address", "unix//run/x"}, "unix//run/x"},
		{"an address before a configuration", "", []string{"--address", "h:1", "--config", native}, "h:1"},
		{"a Caddyfile", "", []string{"--config", site}, "localhost:2020"},
		{"JSON", "", []string{"--config", native}, "localhost:2021"},
		{"JSON of any name", "", []string{"-c", plain}, "localhost:2021"},
		{"an adapter", "", []string{"--config", unnamed, "--adapter", "caddyfile"}, "localhost:2020"},
		{"standard input", json, []string{"--config", "-"}, "localhost:2021"},
		{"standard input with an adapter", caddyfile, []string{"--config", "-", "--adapter", "caddyfile"}, "localhost:2020"},
		{"a configuration that does not say", "", []string{"--config", silent}, caddy.DefaultAdminListen},
		{"an empty one", "", []string{"--config", empty}, caddy.DefaultAdminListen},
		{"a placeholder", "", []string{"--config", placed}, "localhost:2022"},
	}
	check := func(t *testing.T) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				if addr, err := found(t, tt.stdin, tt.args...); err != nil || addr != tt.want {
					t.Errorf("found %q, %v; want %q", addr, err, tt.want)
				}
			})
		}
	}
	t.Run("no Caddyfile here", check)
	file(t, dir, "Caddyfile", "{\n\tadmin localhost:2019\n}\n")
	file(t, dir, "Caddyfile", "{\n\tadmin localhost:2023\n}\n")
	tests[0].want = "localhost:2023"
	t.Run("a Caddyfile here", check)
}

func TestAnEndpointThatCannotBeFoundIsSaidPlainly(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	tests := []struct {
		name, here string // the Caddyfile of this directory
		config     string
		args       []string
		says       []string
	}{
		{"off here", "{\n\tadmin off\n}\n", "", nil, []string{"Caddyfile: the admin endpoint is off there (admin off)"}},
		{"off in another", "", `{"admin":{"disabled":true,"listen":"h:1"}}`, []string{"--config", "conf"}, []string{"conf: the admin endpoint is off there"}},
		{"a broken Caddyfile here", "{\n\tadmin\n", "", nil, []string{"finding the admin endpoint in Caddyfile: ", "Caddyfile:", "(--address names it"}},
		{"a broken one that is named", "", "{\n\tadmin\n", []string{"--config", "conf", "--adapter", "caddyfile"}, []string{"finding the admin endpoint in conf: "}},
		{"no such file", "", "", []string{"--config", "none"}, []string{"finding the admin endpoint in none: ", "no such file"}},
		{"no such adapter", "", "x", []string{"--config", "conf", "--adapter", "none"}, []string{`no config adapter "none"`}},
		{"an adapter alone", "", "", []string{"--adapter", "caddyfile"}, []string{"--adapter without --config"}},
		{"not JSON", "", "admin off", []string{"--config", "conf"}, []string{"conf: reading the configuration as JSON: ", "(--adapter names what else it is)"}},
		{"a placeholder of nothing", "", `{"admin":{"listen":"{env.WSGATE_TEST_NONE}"}}`, []string{"--config", "conf"}, []string{"admin address \"{env.WSGATE_TEST_NONE}\": "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_ = os.Remove("Caddyfile")
			if tt.here != "" {
				file(t, dir, "Caddyfile", tt.here)
			}
			file(t, dir, "conf", tt.config)
			out, errs, err := rawCLI(t, append([]string{"status"}, tt.args...)...)
			if err == nil {
				t.Fatalf("found: %s", out)
			}
			has(t, errs, tt.says...)
		})
	}
}

func TestTheAddressMayComeFromTheConfiguration(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{"by-config": {}})
	native := file(t, t.TempDir(), "caddy.json", fmt.Sprintf(`{"admin":{"listen":%q}}`, testadmin.Addr))
	out, errs, err := rawCLI(t, "status", "--config", native)
	if err != nil || errs != "" {
		t.Fatal(err, errs)
	}
	has(t, out, "by-config")
	out, _, err = rawCLI(t, "off", "by-config", "--config", native)
	if err != nil {
		t.Fatal(err)
	}
	has(t, out, "to take it back: caddy wsgate auto by-config --config "+native+"\n")
}
