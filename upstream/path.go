package upstream

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// pathRule turns the path of a request into the upstream's. It works on the
// escaped form throughout: %2F and %3F stay what they are.
type pathRule struct {
	prefix string // decoded, without a trailing slash
	path   string
	strip  bool
}

func newPathRule(prefix, path string) pathRule {
	if decoded, err := url.PathUnescape(prefix); err == nil {
		prefix = decoded
	}
	return pathRule{prefix: strings.TrimSuffix(prefix, "/"), path: path, strip: prefix != ""}
}

// apply returns the request as the upstream gets it; the request itself is
// left alone. A prefix that is not there leaves the path alone.
func (p pathRule) apply(r *http.Request, repl *caddy.Replacer) *http.Request {
	if p.path == "" {
		return r
	}
	var escaped string
	if p.strip {
		rest, ok := p.rest(r.URL)
		if !ok {
			return r
		}
		escaped = join(p.path, rest)
	} else {
		escaped = p.fill(r, repl)
	}
	path, err := url.PathUnescape(escaped)
	if err != nil {
		return r // cannot be: both parts were escaped
	}
	out := *r
	u := *r.URL
	u.Path, u.RawPath = path, escaped
	out.URL = &u
	out.RequestURI = u.RequestURI()
	return &out
}

// rest returns what follows the prefix, escaped as it came. The prefix itself
// is found as Caddy's path matcher finds it: decoded, and whatever the case.
func (p pathRule) rest(u *url.URL) (string, bool) {
	n := len(p.prefix)
	if len(u.Path) < n || !strings.EqualFold(u.Path[:n], p.prefix) || len(u.Path) > n && u.Path[n] != '/' {
		return "", false
	}
	escaped := u.EscapedPath()
	return escaped[escapedIndex(escaped, n):], true
}

// join puts two paths together with exactly one slash between them.
func join(a, b string) string {
	a = strings.TrimSuffix(a, "/")
	if b = strings.TrimLeft(b, "/"); b == "" {
		if a == "" {
			return "/"
		}
		return a + "/"
	}
	return a + "/" + b
}

// fill puts placeholders' values into the path. What a regular expression
// captured of the decoded path is put back into its escaped form.
func (p pathRule) fill(r *http.Request, repl *caddy.Replacer) string {
	if !strings.Contains(p.path, "{") {
		return p.path
	}
	var b strings.Builder
	rest := p.path
	for {
		text, after, found := strings.Cut(rest, "{")
		b.WriteString(text)
		if !found {
			break
		}
		key, tail, found := strings.Cut(after, "}")
		if !found {
			b.WriteString("{" + after)
			break
		}
		b.WriteString(value(key, r, repl))
		rest = tail
	}
	return single(b.String())
}

// value returns a placeholder's value, escaped for a path.
func value(key string, r *http.Request, repl *caddy.Replacer) string {
	v := repl.ReplaceAll("{"+key+"}", "")
	switch {
	case strings.HasPrefix(key, "http.request.uri"), strings.HasPrefix(key, "http.request.orig_uri"):
		path, _, _ := strings.Cut(v, "?")
		return path // as it came
	case strings.HasPrefix(key, "http.regexp."):
		if raw, ok := rawPart(r.URL, v); ok {
			return raw
		}
	}
	return (&url.URL{Path: v}).EscapedPath()
}

// rawPart returns the part of the escaped path that a part of the decoded one
// came from: path_regexp captures from the decoded path.
func rawPart(u *url.URL, decoded string) (string, bool) {
	at := len(u.Path) - len(decoded)
	if !strings.HasSuffix(u.Path, decoded) {
		at = strings.Index(u.Path, decoded)
	}
	if at < 0 {
		return "", false
	}
	escaped := u.EscapedPath()
	return escaped[escapedIndex(escaped, at):escapedIndex(escaped, at+len(decoded))], true
}

// escapedIndex returns where the n-th byte of the decoded path stands in the
// escaped one.
func escapedIndex(escaped string, n int) int {
	i := 0
	for ; n > 0 && i < len(escaped); n-- {
		if escaped[i] == '%' {
			i += 2
		}
		i++
	}
	return min(i, len(escaped))
}

// single makes runs of slashes at the front and at joints one slash.
func single(path string) string {
	path = "/" + strings.TrimLeft(path, "/")
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return path
}
