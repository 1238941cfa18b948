package upstream

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// asked prepares a request as Caddy does.
func asked(uri string) (*http.Request, *caddy.Replacer) {
	repl := caddy.NewReplacer()
	r := httptest.NewRequest(http.MethodGet, uri, nil)
	return caddyhttp.PrepareRequest(r, repl, httptest.NewRecorder(), nil), repl
}

func TestUpstreamPaths(t *testing.T) {
	tests := []struct{ name, prefix, path, uri, want string }{
		{"no path: left alone", "", "", "/ws/a%2Fb?x=1", "/ws/a%2Fb?x=1"},
		{"A1 prefix", "/ws/", "/", "/ws/room?x=1", "/room?x=1"},
		{"A1 just the prefix", "/ws/", "/", "/ws/", "/"},
		{"A1 without the slash", "/ws/", "/", "/ws", "/"},
		{"A1 raw path", "/ws/", "/base", "/ws/a%2Fb%3Fc", "/base/a%2Fb%3Fc"},
		{"A1 only once", "/ws/", "/", "/ws/ws/x", "/ws/x"},
		{"A1 as Caddy matches, in any case", "/ws/", "/", "/WS/room", "/room"},
		{"A1 as Caddy matches, escaped", "/ws/", "/", "/%77s/a%2Fb", "/a%2Fb"},
		{"A1 as Caddy matches, two slashes in front", "/ws/", "/base/", "//ws/room?x=1", "/base/room?x=1"},
		{"A1 as Caddy matches, from elsewhere", "/ws/", "/base/", "/x/../WS/room", "/base/room"},
		{"A1 as Caddy matches, out and in", "/ws/", "/base/", "/ws/../ws/a%2Fb%3Fc", "/base/a%2Fb%3Fc"},
		{"A1 as Caddy matches, dots escaped", "/ws/", "/base/", "/x/%2e%2E/%77s/./room/", "/base/room/"},
		{"A1 as Caddy matches, a slash escaped", "/ws/", "/base/", "/ws%2Froom", "/base/room"},
		{"A1 as Caddy matches, two slashes behind", "/ws/", "/base/", "/ws/a//b/", "/base/a/b/"},
		{"A1 a prefix of two slashes", "//ws/", "/base/", "//ws/a//b", "/base/a/b"},
		{"A1 escaped slashes are data", "/ws/", "/base/", "/ws/a%2F%2Fb", "/base/a%2F%2Fb"},
		{"A1 dots that are no segment", "/ws/", "/base/", "/ws/.a/..b/c./...", "/base/.a/..b/c./..."},
		{"A1 the whole site", "/", "/base/", "//a/../b", "/base/b"},
		{"A7 one slash at the joint", "/ws/", "/base/", "/ws//room", "/base/room"},
		{"A7 base without a slash", "/ws/", "/base", "/ws/", "/base/"},
		{"the root alone leaves the path alone", "", "/", "/ws/a%2F%2Fb?x=1", "/ws/a%2F%2Fb?x=1"},
		{"A6 an escaped URL stays escaped", "", "/{http.regexp.ws.1}", "/ws/https%3A%2F%2Foffice.example%2Ff/ws", "/https%3A%2F%2Foffice.example%2Ff/ws"},
		{"A6 a part of what is there twice in two ways that mean the same", "", "/{http.regexp.ws.1}", "/ws/%73", "/%73"},
		{"A6 a capture behind a rewrite is the path's of before", "", "/{http.regexp.before.1}", "/ws/x", "/a%2Fb%3Fc"},
		{"whole path", "", "/fixed", "/anything?x=1", "/fixed?x=1"},
		{"whole path, escaped", "", "/a%2Fb", "/x", "/a%2Fb"},
		{"A6 a capture stays raw", "", "/{http.regexp.ws.1}", "/ws/a%2Fb?x=1", "/a%2Fb?x=1"},
		{"A6 an escaped question mark is no query", "", "/{http.regexp.ws.1}", "/ws/what%3Fnow", "/what%3Fnow"},
		{"A6 a capture of a path that was not clean stays raw", "", "/{http.regexp.ws.1}", "/ws/a%2Fb//c%3Fd", "/a%2Fb/c%3Fd"},
		{"a header with odd characters is escaped", "", "/{http.request.header.X-Room}", "/ws/", "/a%20b%3Fc"},
		{"never a double slash", "", "/{http.regexp.ws.1}/x", "/ws/", "/x"},
		{"the URI stays raw", "", "/app{http.request.uri}", "/ws/a%2Fb%3Fc?x=1", "/app/ws/a%2Fb%3Fc?x=1"},
		{"the path stays raw", "", "/app{http.request.uri.path}", "/ws/a%2Fb%3Fc%25", "/app/ws/a%2Fb%3Fc%25"},
		{"the path as it came first stays raw", "", "/app{http.request.orig_uri.path}", "/ws/a%2Fb%3Fc", "/app/ws/a%2Fb%3Fc"},
		{"the URI as it came first stays raw", "", "/app{http.request.orig_uri}", "http://x/ws/a%2Fb%3Fc?x=1", "/app/ws/a%2Fb%3Fc?x=1"},
		{"a path is clean", "", "/app{http.request.uri.path}", "//ws/../../%2e%2E/./secret", "/app/secret"},
		{"a path without a slash", "", "/app{http.request.uri.path}", "http://x?y=1", "/app?y=1"},
		{"a segment of the path is plain", "", "/app/{http.request.uri.path.1}", "/ws/a%3Fb", "/app/a%3Fb"},
		{"a file name is plain", "", "/app/{http.request.uri.path.file}", "/ws/100%25", "/app/100%25"},
		{"a query is plain", "", "/rooms/{http.request.uri.query.room}", "/secret?room=%25", "/rooms/%25?room=%25"},
		{"a query with a question mark", "", "/rooms/{http.request.uri.query.room}", "/x?room=a%3Fb%23c", "/rooms/a%3Fb%23c?room=a%3Fb%23c"},
		{"a query with slashes in front", "", "/rooms/{http.request.uri.query.room}", "/x?room=//evil", "/rooms/evil?room=//evil"},
		{"no query", "", "/rooms/{http.request.uri.query.room}", "/x", "/rooms/"},
		{"dots that are no segment", "", "/rooms/{http.request.uri.query.room}", "/x?room=..a", "/rooms/..a?room=..a"},
		{"text is escaped once", "", "/a b%20é/{http.request.uri.query.room}", "/x?room=1", "/a%20b%20%C3%A9/1?room=1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, repl := asked(tt.uri)
			r.Header.Set("X-Room", "a b?c")
			if strings.Contains(tt.path, "before") {
				r, repl = asked("/old/a%2Fb%3Fc")
				r.URL = &url.URL{Path: "/ws/x"} // a rewrite
				repl.Set("http.regexp.before.1", "a/b?c")
			}
			repl.Set("http.regexp.ws.1", strings.TrimPrefix(caddyhttp.CleanPath(r.URL.Path, true), "/ws/"))
			before := r.URL.String()
			rule, err := newPathRule(tt.prefix, tt.path)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := rule.apply(r, repl); err != nil {
				t.Error(err)
			} else if got.URL.RequestURI() != tt.want {
				t.Errorf("got %s, want %s", got.URL.RequestURI(), tt.want)
			}
			if r.URL.String() != before {
				t.Errorf("the request itself became %s", r.URL)
			}
		})
	}
}

func TestPathsThatLeaveTheUpstreamsAreRefused(t *testing.T) {
	for _, tt := range [][3]string{ // prefix, path, URI
		{"", "/rooms/{http.request.uri.query.room}", "/x?room=.."},
		{"", "/rooms/{http.request.uri.query.room}", "/x?room=a/../../secret"},
		{"", "/rooms/.{http.request.uri.query.room}", "/x?room=./secret"},
		{"", "/{http.request.uri.query.a}{http.request.uri.query.b}", "/x?a=.&b=."},
		{"", "/app{http.request.uri.path}", "/..%2Fsecret"},
		{"", "/app{http.request.uri.path}", "/%2e%2e%2fsecret"},
		{"", "/app/{http.request.uri.path.file}", "/x/%2e%2e"},
		{"", "/app{http.request.orig_uri}", "/..%2Fsecret"},
		{"/ws/", "/base/", "/wsx/room"},
		{"/ws/", "/base/", "/room"},
		{"/ws/", "/base/", "/ws/../room"},
		{"/ws/", "/base/", "/ws/%2e%2e/room"},
		{"/ws/", "/base/", "/ws/..%2Fws/room"},
		{"/ws/", "/base/", "/ws%2F..%2Fws%2Froom"},
		{"//ws/", "/base/", "/ws/room"},
	} {
		r, repl := asked(tt[2])
		rule, err := newPathRule(tt[0], tt[1])
		if err != nil {
			t.Fatal(err)
		}
		if got, err := rule.apply(r, repl); err == nil {
			t.Errorf("%v became %s", tt, got.URL.RequestURI())
		}
	}
}

func TestACaptureThatIsThereTwiceInTwoWaysIsRefused(t *testing.T) {
	rule, err := newPathRule("", "/{http.regexp.ws.1}")
	if err != nil {
		t.Fatal(err)
	}
	for uri, v := range map[string]string{"/a%2Fb/a/b": "a/b", "/a/b/a%2Fb": "a/b", "/x?/x%3F": "", "/%3F/%3f/a%3F": "?"} {
		r, repl := asked(strings.ReplaceAll(uri, "?", "%3F"))
		repl.Set("http.regexp.ws.1", v)
		_, err := rule.apply(r, repl)
		if twice := v == "a/b"; (err != nil) != twice {
			t.Errorf("%q in %s: %v", v, uri, err)
		}
	}
	r, repl := asked("/" + strings.Repeat("a/", 50_000))
	repl.Set("http.regexp.ws.1", strings.Repeat("a/", 25_000)) // compared with few of its places
	if _, err := rule.apply(r, repl); err != nil {
		t.Error(err)
	}
}

func TestImpossiblePathsAreRefused(t *testing.T) {
	for _, tt := range [][3]string{ // prefix, path, part of the error
		{"", "/%zz", "invalid URL escape"},
		{"", "/{x}%2", "invalid URL escape"},
		{"", "base", "begin with a slash"},
		{"", "/a?b=c", "a query"},
		{"", "/a#b", "a fragment"},
		{"", "//a", "a double slash"},
		{"", "/a/../b", "a segment"},
		{"", "/{a", "without its '}'"},
		{"", "/{a{b}}", "without its '}'"},
		{"", "/a}", "without its '{'"},
		{"", "/{}", "without a name"},
		{"/ws/", "/{http.request.host}", "is the whole path"},
	} {
		if _, err := newPathRule(tt[0], tt[1]); err == nil || !strings.Contains(err.Error(), tt[2]) {
			t.Errorf("%v: %v", tt, err)
		}
	}
}

func TestACleanPathCostsOnlyItsCopies(t *testing.T) {
	for _, tt := range [][3]string{{"/ws/", "/", "/ws/room"}, {"/ws/", "/base", "/ws/a.b/.c"}} {
		r, repl := asked(tt[2])
		rule, err := newPathRule(tt[0], tt[1])
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() { _, _ = rule.apply(r, repl) }); n > 3 { // the request, its URL, the path
			t.Errorf("%v: %v allocations", tt, n)
		}
	}
}

func FuzzUpstreamPath(f *testing.F) {
	for _, seed := range []string{"/ws/room", "//ws/../ws/a%2Fb", "/%2e%2E/WS%2f..%2fx", "/ws/..;/x", "/ws%2F", "/w\u017f/"} {
		f.Add(seed)
	}
	rules := []pathRule{}
	for _, c := range [][2]string{{"/ws/", "/base/"}, {"//ws/", "/base"}, {"", "/base/{http.request.uri}"}, {"", "/base/{http.request.header.X-Room}"}, {"", "/base/.{http.request.header.X-Room}/x"}} {
		rule, err := newPathRule(c[0], c[1])
		if err != nil {
			f.Fatal(err)
		}
		rules = append(rules, rule)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.ParseRequestURI(s)
		if err != nil {
			return
		}
		r, repl := asked("/")
		r.URL = u
		r.Header["X-Room"] = []string{s}
		for _, rule := range rules {
			out, err := rule.apply(r, repl)
			if err != nil {
				continue
			}
			uri, _, _ := strings.Cut(out.RequestURI, "?")
			decoded, err := url.PathUnescape(uri)
			if err != nil || !strings.HasPrefix(caddyhttp.CleanPath(decoded, true)+"/", "/base/") || strings.Contains(uri, "//") {
				t.Errorf("%q by %+v: %s, %v", s, rule, uri, err)
			}
			if out.URL.EscapedPath() != uri {
				t.Errorf("%q by %+v: %s and %s", s, rule, uri, out.URL.EscapedPath())
			}
		}
	})
}
