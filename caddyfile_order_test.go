package wsgate

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

const ours = "\twsgate /ws/* ws://localhost:8080\n"

// TestAdaptingWarnsWhereAnotherDirectiveTakesTheHandshakes also fails when a
// new Caddy no longer shows the site around a directive.
func TestAdaptingWarnsWhereAnotherDirectiveTakesTheHandshakes(t *testing.T) {
	for _, c := range []struct {
		name, caddyfile string
		by              string // the directive that the warning names, empty for none
	}{
		{"redir of everything", "http://localhost {\n" + ours + "\tredir https://{host}{uri}\n}\n", "redir"},
		{"redir above", "http://localhost {\n\tredir https://{host}{uri}\n" + ours + "}\n", "redir"},
		{"redir with a path", "http://localhost {\n\tredir /old /new\n" + ours + "}\n", ""},
		{"redir with a named matcher", "http://localhost {\n\t@old path /old\n\tredir @old /new\n" + ours + "}\n", ""},
		{"rewrite above, whose matcher Caddy has taken", "http://localhost {\n\trewrite * /index.html\n" + ours + "}\n", ""},
		{"rewrite of everything below", "http://localhost {\n" + ours + "\trewrite * /index.html\n}\n", "rewrite"},
		{"rewrite without a matcher", "http://localhost {\n\trewrite /index.html\n" + ours + "}\n", "rewrite"},
		{"rewrite where no path is looked at", "http://localhost {\n\trewrite * /index.html\n\twsgate ws://localhost:8080\n}\n", ""},
		{"try_files of a single page", "http://localhost {\n\troot * /srv\n\ttry_files {path} /index.html\n" + ours + "\tfile_server\n}\n", "try_files"},
		{"handle that answers everything", "http://localhost {\n\thandle {\n\t\treverse_proxy localhost:3000\n\t}\n" + ours + "}\n", "handle"},
		{"handle that lets pass", "http://localhost {\n\thandle {\n\t\theader X-A b\n\t}\n" + ours + "}\n", ""},
		{"handle that answers some", "http://localhost {\n\thandle {\n\t\trespond /up 200\n\t\tfile_server {\n\t\t\tpass_thru\n\t\t}\n\t}\n" + ours + "}\n", ""},
		{"handle_path of everything", "http://localhost {\n\thandle_path /* {\n\t\tfile_server\n\t}\n" + ours + "}\n", "handle_path"},
		{"handle_path of a prefix", "http://localhost {\n\thandle_path /static/* {\n\t\tfile_server\n\t}\n" + ours + "}\n", ""},
		{"route that answers everything", "http://localhost {\n\troute {\n\t\theader X-A b\n\t\trespond hello\n\t}\n" + ours + "}\n", "route"},
		{"route with a handle that answers", "http://localhost {\n" + ours + "\troute {\n\t\thandle /a {\n\t\t\trespond a\n\t\t}\n\t\thandle {\n\t\t\trespond b\n\t\t}\n\t}\n}\n", "route"},
		{"wsgate in a handle of its own", "http://localhost {\n\thandle /ws/* {\n\t\twsgate ws://localhost:8080\n\t}\n\thandle {\n\t\trespond hello\n\t}\n}\n", ""},
		{"wsgate in a handle, redir outside", "http://localhost {\n\tredir https://{host}{uri}\n\thandle /ws/* {\n\t\twsgate ws://localhost:8080\n\t}\n}\n", "redir"},
		{"wsgate in a handle, try_files outside", "http://localhost {\n\ttry_files {path} /index.html\n\thandle /ws/* {\n\t\twsgate ws://localhost:8080\n\t}\n}\n", "try_files"},
		{"wsgate in a route, handle outside", "http://localhost {\n\thandle {\n\t\trespond hello\n\t}\n\troute /ws/* {\n\t\twsgate ws://localhost:8080\n\t}\n}\n", "handle"},
		{"first in a route", "http://localhost {\n\troute {\n\t\twsgate /ws/* ws://localhost:8080\n\t\tredir https://{host}{uri}\n\t}\n}\n", ""},
		{"second in a route", "http://localhost {\n\troute {\n\t\tredir https://{host}{uri}\n\t\twsgate /ws/* ws://localhost:8080\n\t}\n}\n", "redir"},
		{"ordered first", "{\n\torder wsgate first\n}\n\nhttp://localhost {\n\tredir https://{host}{uri}\n" + ours + "}\n", ""},
		{"respond of everything", "http://localhost {\n\trespond hello\n" + ours + "}\n", "respond"},
		{"respond below", "http://localhost {\n" + ours + "\trespond hello\n}\n", "respond"},
		{"respond to some", "http://localhost {\n" + ours + "\trespond /up 200\n}\n", ""},
		{"respond to what is no handshake", "http://localhost {\n\t@page not ws_handshake\n\trespond @page hello\n" + ours + "}\n", ""},
		{"abort", "http://localhost {\n\tabort\n" + ours + "}\n", "abort"},
		{"abort of some", "http://localhost {\n\t@bad remote_ip 10.0.0.0/8\n\tabort @bad\n" + ours + "}\n", ""},
		{"error", "http://localhost {\n\terror \"no\" 404\n" + ours + "}\n", "error"},
		{"metrics", "http://localhost {\n\tmetrics\n" + ours + "}\n", "metrics"},
		{"metrics at a path", "http://localhost {\n\tmetrics /metrics\n" + ours + "}\n", ""},
		{"ordered before respond", "{\n\torder wsgate before respond\n}\n\nhttp://localhost {\n\trespond hello\n" + ours + "}\n", ""},
		{"respond in a handle of its own", "http://localhost {\n\thandle /up {\n\t\trespond hello\n\t}\n" + ours + "}\n", ""},
		{"what comes after anyway", "http://localhost {\n\treverse_proxy localhost:3000\n\tfile_server\n" + ours + "}\n", ""},
		{"another site", "http://localhost {\n" + ours + "}\n\nhttp://other.localhost {\n\tredir https://{host}{uri}\n}\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var by []string
			for _, w := range warnings(t, c.caddyfile) {
				if w.Line != lineOf(c.caddyfile, "wsgate ") && w.Line != lineOf(c.caddyfile, "wsgate /") {
					t.Errorf("the warning is about line %d", w.Line)
				}
				if w.DirectiveLine != lineOf(c.caddyfile, w.Directive) {
					t.Errorf("the warning blames line %d", w.DirectiveLine)
				}
				by = append(by, w.Directive)
			}
			if got := strings.Join(by, " "); got != c.by {
				t.Errorf("warned of %q, want %q", got, c.by)
			}
		})
	}
}

// lineOf returns the line that begins with a directive.
func lineOf(text, directive string) int {
	for i, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), directive) && !strings.HasSuffix(line, "first") {
			return i + 1
		}
	}
	return 0
}

type warning struct {
	Message       string `json:"msg"`
	File          string `json:"file"`
	Line          int    `json:"line"`
	Directive     string `json:"directive"`
	DirectiveLine int    `json:"directive_line"`
}

// warnings adapts a Caddyfile that is a file, and returns the warnings in the
// log.
func warnings(t *testing.T, text string) []warning {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	logged := logOf(t, func() {
		if _, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": path}); err != nil {
			t.Fatal(err)
		}
	})
	var found []warning
	for l := range strings.Lines(logged) {
		var w warning
		if err := json.Unmarshal([]byte(l), &w); err != nil {
			t.Fatalf("%v in %s", err, l)
		}
		if strings.Contains(w.Message, "wsgate") {
			found = append(found, w)
		}
	}
	return found
}

// logOf returns what Caddy logs while f runs.
func logOf(t *testing.T, f func()) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	config, err := json.Marshal(map[string]any{
		"admin": map[string]any{"disabled": true, "config": map[string]any{"persist": false}},
		"logging": map[string]any{"logs": map[string]any{"default": map[string]any{
			"writer":  map[string]any{"output": "file", "filename": path},
			"encoder": map[string]any{"format": "json"},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
	f()
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAdaptingWarnsOfARoutePastTheGate(t *testing.T) {
	const other = "reverse_proxy"
	for _, c := range []struct {
		name, site string
		warned     bool
	}{
		{"a catch-all to the same upstream", "\twsgate /keep/* ws://localhost:9001/\n\treverse_proxy localhost:9001\n", true},
		{"above", "\treverse_proxy localhost:9001\n\twsgate /keep/* ws://localhost:9001/\n", true},
		{"by another name", "\twsgate /keep/* ws://127.0.0.1:9001/\n\treverse_proxy http://localhost:9001\n", true},
		{"by its port alone", "\twsgate /keep/* :9001\n\treverse_proxy [::1]:9001\n", true},
		{"by the default port", "\twsgate /keep/* ws://chat.internal\n\treverse_proxy http://CHAT.internal:80\n", true},
		{"a unix socket", "\twsgate /keep/* unix//run/chat.sock\n\treverse_proxy unix//run/chat.sock\n", true},
		{"one of several", "\twsgate /keep/* ws://a:1 ws://b:1\n\treverse_proxy c:1 {\n\t\tto b:1\n\t}\n", true},
		{"at a path", "\twsgate /keep/* ws://localhost:9001/\n\treverse_proxy /app/* localhost:9001\n", true},
		{"in a handle", "\thandle /keep/* {\n\t\twsgate ws://localhost:9001\n\t}\n\thandle {\n\t\treverse_proxy localhost:9001\n\t}\n", true},
		{"beside it in a handle", "\thandle /keep/* {\n\t\t@some header X-A b\n\t\twsgate @some ws://localhost:9001\n\t\treverse_proxy localhost:9001\n\t}\n", true},
		{"in a handle in front of a gate for all", "\twsgate ws://localhost:9001\n\thandle /app/* {\n\t\treverse_proxy localhost:9001\n\t}\n", true},
		{"behind a gate for all", "\twsgate ws://localhost:9001\n\treverse_proxy localhost:9001\n", false},
		{"another upstream", "\twsgate /keep/* ws://localhost:9001/\n\treverse_proxy localhost:9002\n", false},
		{"another scheme's port", "\twsgate /keep/* ws://chat.internal\n\treverse_proxy https://chat.internal\n", false},
		{"a matcher that asks for them", "\t@ws ws_handshake\n\twsgate /keep/* ws://localhost:9001/\n\treverse_proxy @ws localhost:9001\n", true},
		{"a header that asks for them", "\t@ws header Upgrade websocket\n\twsgate /keep/* ws://localhost:9001/\n\treverse_proxy @ws localhost:9001\n", true},
		{"guarded by an expression", "\t@page expression `!ws_handshake()`\n\twsgate /keep/* ws://localhost:9001/\n\treverse_proxy @page localhost:9001\n", false},
		{"a network and a port", "\twsgate /keep/* ws://localhost:9001/\n\treverse_proxy tcp/127.0.0.1:9001\n", true},
		{"a range of ports", "\twsgate /keep/* ws://localhost:9001/\n\treverse_proxy localhost:9000-9002\n", true},
		{"a range of other ports", "\twsgate /keep/* ws://localhost:9001/\n\treverse_proxy localhost:9002-9009\n", false},
		{"what asks whether somebody may", "\tforward_auth localhost:9001 {\n\t\turi /auth\n\t}\n\twsgate /keep/* ws://localhost:9001/\n", true},
		{"in error routes", "\twsgate /keep/* ws://localhost:9001/\n\thandle_errors {\n\t\treverse_proxy localhost:9001\n\t}\n", true},
		{"elsewhere in error routes", "\twsgate /keep/* ws://localhost:9001/\n\thandle_errors {\n\t\treverse_proxy localhost:9002\n\t}\n", false},
		{"guarded", "\t@page not ws_handshake\n\twsgate /keep/* ws://localhost:9001/\n\treverse_proxy @page localhost:9001\n", false},
		{"guarded in a handle", "\t@page not ws_handshake\n\twsgate /keep/* ws://localhost:9001/\n\thandle @page {\n\t\treverse_proxy localhost:9001\n\t}\n", false},
		{"guarded by its header", "\t@page {\n\t\tnot header Upgrade websocket\n\t}\n\twsgate /keep/* ws://localhost:9001/\n\treverse_proxy @page localhost:9001\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			text, other := "http://localhost {\n"+c.site+"}\n", other
			if strings.Contains(c.site, "forward_auth") {
				other = "forward_auth"
			}
			var by []warning
			for _, w := range warnings(t, text) {
				if strings.Contains(w.Message, "past the gate") {
					by = append(by, w)
				}
			}
			switch {
			case len(by) == 0 && !c.warned:
			case len(by) != 1 || !c.warned:
				t.Errorf("warned %v, want %v", by, c.warned)
			case by[0].Directive != other || by[0].DirectiveLine != lineOf(text, other):
				t.Errorf("the warning blames %+v", by[0])
			}
		})
	}
}

func TestAdaptingWarnsOfOnePathForAll(t *testing.T) {
	for site, warned := range map[string]bool{
		"\twsgate ws://localhost:9001/base/\n":                               true,
		"\twsgate /ws* ws://localhost:9001/base/\n":                          true,
		"\thandle_path /ws/* {\n\t\twsgate ws://localhost:9001/base/\n\t}\n": true,
		"\twsgate ws://localhost:9001/\n":                                    false,
		"\twsgate ws://localhost:9001/socket\n":                              false,
		"\twsgate /ws/* ws://localhost:9001/base/\n":                         false,
		"\twsgate ws://localhost:9001/rooms/{query.room}/\n":                 false,
	} {
		found := false
		for _, w := range warnings(t, "http://localhost {\n"+site+"}\n") {
			found = found || strings.Contains(w.Message, "at the same path")
		}
		if found != warned {
			t.Errorf("%q: warned %v", site, found)
		}
	}
}

func TestAdaptingWarnsOfAPolicyInSeveralHandlers(t *testing.T) {
	const gate = "\twsgate ws://localhost:9001 {\n\t\tgate chat\n\t\tmode off\n\t}\n"
	for text, warned := range map[string]bool{
		"http://localhost:8080, http://localhost:8081 {\n" + gate + "}\n":                                     true,
		"http://localhost, https://localhost {\n" + gate + "}\n":                                              true,
		"&(chat) {\n" + gate + "}\n\nhttp://localhost {\n\tinvoke chat\n}\n":                                  true,
		"http://a.localhost, http://b.localhost {\n" + gate + "}\n":                                           false,
		"http://localhost {\n" + gate + "}\n":                                                                 false,
		"http://localhost:1, http://localhost:2 {\n\twsgate ws://localhost:9001\n}\n":                         false,
		"http://localhost:1, http://localhost:2 {\n" + strings.Replace(gate, "\t\tmode off\n", "", 1) + "}\n": false,
	} {
		found := false
		for _, w := range warnings(t, text) {
			found = found || strings.Contains(w.Message, "several handlers")
		}
		if found != warned {
			t.Errorf("%s: warned %v", text, found)
		}
	}
}
