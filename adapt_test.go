package wsgate

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/wsgate/wsgate/upstream"
)

var update = flag.Bool("update", false, "write what testdata/adapt should expect, to be read before it is committed")

// golden is a file of testdata/adapt: a Caddyfile, a line of ten dashes, and
// the resulting JSON or message.
type golden struct {
	path, input, want string
}

const dashes = "----------"

func goldens(t *testing.T) []golden {
	t.Helper()
	paths, err := filepath.Glob("testdata/adapt/*.caddyfiletest")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	files := make([]golden, 0, len(paths))
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		input, want, found := strings.Cut(strings.ReplaceAll(string(text), "\r\n", "\n"), dashes+"\n")
		if !found && !*update {
			t.Fatalf("%s: no line of ten dashes", path)
		}
		files = append(files, golden{path, input, strings.TrimSpace(want)})
	}
	return files
}

// adapt returns the indented JSON of a Caddyfile, or the message that refuses
// it.
func adapt(t *testing.T, input string) (config []byte, message string) {
	t.Helper()
	raw, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), nil)
	if err != nil {
		return nil, err.Error()
	}
	for _, w := range warnings {
		t.Errorf("warning in line %d: %s", w.Line, w.Message)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "\t"); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), ""
}

func TestEachCaddyfileBecomesItsJSONOrItsRefusal(t *testing.T) {
	for _, g := range goldens(t) {
		t.Run(strings.TrimSuffix(filepath.Base(g.path), ".caddyfiletest"), func(t *testing.T) {
			if formatted := caddyfile.Format([]byte(g.input)); string(formatted) != g.input {
				t.Errorf("the input is not as caddy fmt writes it:\n%s", formatted)
			}
			config, message := adapt(t, g.input)
			got := string(config) + message
			if *update {
				if err := os.WriteFile(g.path, []byte(g.input+dashes+"\n"+got+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != g.want && (message == "" || g.want == "" || !strings.Contains(message, g.want)) {
				t.Errorf("got\n%s\nwant\n%s", got, g.want)
			}
			if refusal := strings.HasPrefix(filepath.Base(g.path), "error_"); refusal != (message != "") {
				t.Errorf("refused: %v, by the name of the file: %v", message != "", refusal)
			}
			if config != nil {
				validate(t, config)
			}
		})
	}
}

func TestNoWordInThePlaceOfAnotherMakesAdaptingPanic(t *testing.T) {
	t.Parallel()
	adapter := caddyconfig.GetAdapter("caddyfile")
	for _, g := range goldens(t) {
		for at := range strings.Fields(g.input) {
			for _, other := range []string{`""`, "{", "}", "-", "*", "!", "é", "{x}", "", `"" $0`, "$0 {", "$0 $0", "$0\n"} {
				input := replaceWord(g.input, at, other)
				func() {
					defer func() {
						if v := recover(); v != nil {
							t.Errorf("%v\n%s", v, input)
						}
					}()
					_, _, _ = adapter.Adapt([]byte(input), nil)
				}()
			}
		}
	}
}

// replaceWord replaces a word with another text, in which $0 is the old word.
// It keeps the lines.
func replaceWord(text string, at int, other string) string {
	n := -1
	return anyWord.ReplaceAllStringFunc(text, func(word string) string {
		if n++; n == at {
			return strings.ReplaceAll(other, "$0", word)
		}
		return word
	})
}

var anyWord = regexp.MustCompile(`\S+`)

// validate loads a configuration as caddy validate does, with an empty storage.
func validate(t *testing.T, config []byte) {
	t.Helper()
	for _, dir := range []string{"XDG_DATA_HOME", "XDG_CONFIG_HOME"} {
		t.Setenv(dir, t.TempDir())
	}
	var c caddy.Config
	if err := json.Unmarshal(config, &c); err != nil {
		t.Fatal(err)
	}
	storage, err := json.Marshal(map[string]string{"module": "file_system", "root": t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	c.StorageRaw = storage
	c.Admin = &caddy.AdminConfig{Disabled: true}
	if err := caddy.Validate(&c); err != nil {
		t.Errorf("the configuration does not load: %v", err)
	}
}

// proxyVocabulary lists the words of reverse_proxy's block in Caddy v2.11.9,
// each in a valid line, and what happens to it in a wsgate block. A word that
// Caddy adds later is refused as unknown until it is in this list.
var proxyVocabulary = []struct{ word, line, becomes string }{
	{"to", "to ws://b:80", "kept"},
	{"dynamic", "dynamic a backend 80", "kept"},
	{"lb_policy", "lb_policy least_conn", "kept"},
	{"lb_retries", "lb_retries 2", "kept"},
	{"lb_try_duration", "lb_try_duration 5s", "kept"},
	{"lb_try_interval", "lb_try_interval 1s", "kept"},
	{"lb_retry_match", "lb_retry_match path /ws", "kept"},
	{"health_uri", "health_uri /up", "kept"},
	{"health_path", "health_path /up", "kept"},
	{"health_upstream", "health_upstream b:80", "kept"},
	{"health_port", "health_port 81", "kept"},
	{"health_interval", "health_interval 5s", "kept"},
	{"health_passes", "health_passes 2", "kept"},
	{"health_fails", "health_fails 2", "kept"},
	{"health_timeout", "health_timeout 2s", "kept"},
	{"health_status", "health_status 2xx", "kept"},
	{"health_body", "health_body ok", "kept"},
	{"health_method", "health_method HEAD", "kept"},
	{"health_request_body", "health_request_body up", "kept"},
	{"health_follow_redirects", "health_follow_redirects", "kept"},
	{"health_headers", "health_headers {\nX-Probe 1\n}", "kept"},
	{"fail_duration", "fail_duration 10s", "kept"},
	{"max_fails", "max_fails 3", "kept"},
	{"unhealthy_status", "unhealthy_status 5xx", "kept"},
	{"unhealthy_latency", "unhealthy_latency 1s", "kept"},
	{"unhealthy_request_count", "unhealthy_request_count 100", "kept"},
	{"trusted_proxies", "trusted_proxies private_ranges", "kept"},
	{"header_up", "header_up X-From wsgate", "kept"},
	{"header_down", "header_down X-From wsgate", "kept"},
	{"rewrite", "rewrite /elsewhere", "kept"},
	{"transport", "transport http", "kept"},
	{"handle_response", "handle_response {\nrespond 404\n}", "kept"},
	{"@name", "@down status 5xx", "kept"},
	{"verbose_logs", "verbose_logs", "kept"},
	{"proxy_status_name", "proxy_status_name edge", "kept"},
	{"stream_timeout", "stream_timeout 1h", "mapped"},
	{"stream_close_delay", "stream_close_delay 1m", "mapped"},
	{"method", "method POST", "refused"},
	{"flush_interval", "flush_interval -1", "refused"},
	{"request_buffers", "request_buffers 4KiB", "refused"},
	{"response_buffers", "response_buffers 4KiB", "refused"},
	{"stream_buffer_size", "stream_buffer_size 4KiB", "refused"},
	{"replace_status", "replace_status 500", "refused"},
	{"transport fastcgi", "transport fastcgi", "refused"},
}

// site is a Caddyfile with one directive and the lines of its block.
func site(directive string, lines ...string) string {
	text := "http://localhost {\n" + directive + " {\n" + strings.Join(lines, "\n") + "\n}\n}\n"
	return string(caddyfile.Format([]byte(text)))
}

func TestEveryWordOfReverseProxyIsKeptMappedOrRefused(t *testing.T) {
	for _, v := range proxyVocabulary {
		t.Run(v.word, func(t *testing.T) {
			_, message := adapt(t, site("wsgate a:80", v.line))
			switch {
			case v.becomes == "refused" && !strings.Contains(message, v.word+" has no place in wsgate: "):
				t.Errorf("want a refusal with its reason, got %q", message)
			case v.becomes != "refused" && message != "":
				t.Error(message)
			}
			plain := strings.Replace(v.line, "ws://", "", 1)
			if _, message := adapt(t, site("reverse_proxy a:80", plain)); message != "" && v.becomes != "refused" {
				t.Errorf("reverse_proxy does not know it: %s", message)
			}
		})
	}
}

func TestAWordOfReverseProxyThatStandsOnceIsNotReplacedInSilence(t *testing.T) {
	several := []string{"trusted_proxies", "header_up", "header_down", "handle_response", "lb_retry_match", "unhealthy_status"}
	for _, name := range upstream.ProxyWords() {
		i := slices.IndexFunc(proxyVocabulary, func(v struct{ word, line, becomes string }) bool { return v.word == name })
		if i < 0 {
			t.Errorf("%s is not in the list of words", name)
			continue
		}
		v := proxyVocabulary[i]
		if v.becomes == "refused" {
			continue
		}
		_, message := adapt(t, site("wsgate a:80", v.line, v.line))
		if refused := strings.Contains(message, name+" is given twice, first at Caddyfile:3"); refused == slices.Contains(several, name) {
			t.Errorf("%s twice: %q", name, message)
		}
	}
}

func TestTheReferenceNamesEveryWord(t *testing.T) {
	text, err := os.ReadFile("docs/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{} // a word of the table, and its row
	for row := range strings.Lines(string(text)) {
		cells := strings.Split(row, "|")
		if len(cells) < 4 {
			continue
		}
		for _, part := range strings.Split(cells[1], "`") {
			rows[part] = cells[2]
		}
	}
	for _, v := range proxyVocabulary {
		if !strings.Contains(rows[v.word], v.becomes) {
			t.Errorf("docs/reference.md: the row of `%s` does not say %q: %q", v.word, v.becomes, rows[v.word])
		}
	}
	for _, w := range ownWords {
		if !strings.Contains(string(text), "`"+w) {
			t.Errorf("docs/reference.md does not have `%s`", w)
		}
	}
}

func TestTheCaddyfilesOfTheDocsLoad(t *testing.T) {
	for _, path := range []string{"README.md", "docs/reference.md", "docs/placement.md"} {
		blocks := fenced(t, path, "caddyfile")
		if len(blocks) == 0 {
			t.Errorf("%s has no Caddyfile", path)
		}
		for _, block := range blocks {
			config, message := adapt(t, block)
			if message != "" {
				t.Errorf("%s: %s in\n%s", path, message, block)
				continue
			}
			validate(t, config)
		}
	}
}

func TestTheJSONOfTheReferenceLoads(t *testing.T) {
	blocks := fenced(t, "docs/reference.md", "json")
	if len(blocks) != 2 {
		t.Fatalf("want the handler and the app, got %d blocks", len(blocks))
	}
	validate(t, []byte(`{"apps": {"http": {"servers": {"srv0": {"listen": [":80"], "routes": [{"handle": [`+blocks[0]+`]}]}}}}}`))
	validate(t, []byte(`{"apps": {"wsgate": `+blocks[1]+`}}`))
}

// fenced returns the code blocks of a page that are in the given language.
func fenced(t *testing.T, path, language string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, part := range strings.Split(string(text), "\n```"+language+"\n")[1:] {
		block, _, found := strings.Cut(part, "```")
		if !found {
			t.Fatalf("%s: a block does not end", path)
		}
		blocks = append(blocks, block)
	}
	return blocks
}
