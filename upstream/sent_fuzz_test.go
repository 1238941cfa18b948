package upstream

import (
	"context"
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// FuzzCaptureReachesTheUpstreamAsItWasSent compares what the upstream gets for
// a capture with the bytes that it was captured from. The upstream must get
// exactly these, with single slashes, or the client must get 400.
func FuzzCaptureReachesTheUpstreamAsItWasSent(f *testing.F) {
	for _, seed := range []string{
		"/ws/https%3A%2F%2Foffice.example%2Ff/ws", "/ws/a%2Fb/a/b", "/a/b/a%2fb", "/ws/%2e%2E/x", "/ws//a%2F%2Fb//", "/WS/%77s/ws/", "/ws/%41/A",
		"/ws/x%252Fy", "/ws/%E2%82%AC/€", "/ws/a%2F../b", "/%2Fws/ws/a", "/ws/a%3Fb%23c;d=%2C", "/x/a/x", "/ws/%", "/ws/a+b%20c",
	} {
		f.Add(seed)
	}
	patterns := []string{`^/ws/(.*)$`, `(?i)^/WS/(?P<room>.*)$`, `^/([^/]+)/`, `/(\w+)/x`, `/(.+)/(.+)`, `^(.*)$`, `^/ws/(a.b)`}
	rules := map[string]pathRule{}
	for _, key := range []string{"1", "ws.1", "ws.room"} {
		rule, err := newPathRule("", "/up/{http.regexp."+key+"}")
		if err != nil {
			f.Fatal(err)
		}
		rules[key] = rule
	}
	var compiled []*regexp.Regexp
	var matchers []*caddyhttp.MatchPathRE
	for _, p := range patterns {
		m := &caddyhttp.MatchPathRE{MatchRegexp: caddyhttp.MatchRegexp{Name: "ws", Pattern: p}}
		if err := m.Provision(caddy.Context{Context: context.Background()}); err != nil {
			f.Fatal(err)
		}
		compiled, matchers = append(compiled, regexp.MustCompile(p)), append(matchers, m)
	}
	f.Fuzz(func(t *testing.T, sent string) {
		u, err := url.ParseRequestURI(sent)
		if err != nil || u.Path == "" || u.Host != "" || u.Scheme != "" {
			return
		}
		for i, m := range matchers {
			r, repl := asked("/")
			r.URL = u
			matched, err := m.MatchWithError(r)
			if err != nil || !matched {
				continue
			}
			for key, rule := range rules {
				if key == "ws.room" && !strings.Contains(patterns[i], "room") {
					continue
				}
				out, err := rule.apply(r, repl)
				if err != nil {
					continue // 400
				}
				got := out.URL.EscapedPath()
				if want, known := captured(compiled[i], u); known && canonical(got) != canonical(singleSlashes("/up/"+want)) {
					t.Errorf("%s by %s: %s, and it was sent as %s", sent, patterns[i], got, want)
				}
			}
		}
	})
}

// captured returns what the first group of an expression captures from a path
// that needs no cleaning, as it was sent.
func captured(re *regexp.Regexp, u *url.URL) (string, bool) {
	if u.Path != caddyhttp.CleanPath(u.Path, true) || path.Clean(u.Path) == "." {
		return "", false
	}
	at := re.FindStringSubmatchIndex(u.Path)
	if at == nil || at[2] < 0 {
		return "", false
	}
	escaped := u.EscapedPath()
	return escaped[escapedIndex(escaped, at[2]):escapedIndex(escaped, at[3])], true
}

// canonical changes escapes that mean the same to one form (RFC 3986 §6.2.2).
func canonical(escaped string) string {
	return regexp.MustCompile(`%[0-9a-fA-F]{2}`).ReplaceAllStringFunc(escaped, func(e string) string {
		if c, err := url.PathUnescape(e); err == nil && regexp.MustCompile(`^[A-Za-z0-9._~-]$`).MatchString(c) {
			return c
		}
		return strings.ToUpper(e)
	})
}
