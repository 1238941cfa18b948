package upstream

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Malformed means that the path of the request cannot become the upstream's. No
// upstream was asked.
const Malformed Outcome = "malformed"

// pathRule turns the path of a request into the upstream's. It works on the
// escaped form throughout: %2F and %3F stay what they are.
type pathRule struct {
	prefix string // decoded, without a trailing slash
	merge  bool   // slashes, as the matcher with that prefix does
	path   string // escaped; empty: the path is left alone
	strip  bool
	parts  []part // of a path with placeholders
}

// newPathRule reads prefix and path as the configuration has them.
func newPathRule(prefix, path string) (pathRule, error) {
	if path == "" || path == "/" && prefix == "" { // the root alone means: whatever was asked for
		return pathRule{}, nil
	}
	if !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "{") {
		return pathRule{}, fmt.Errorf("upstream_path %q: want it to begin with a slash", path)
	}
	if strings.ContainsAny(path, "?#") {
		return pathRule{}, fmt.Errorf("upstream_path %q: a query or a fragment has no place here: the handshake's own query is passed on", path)
	}
	parts, err := parsePath(path)
	if err != nil {
		return pathRule{}, fmt.Errorf("upstream_path %q: %w", path, err)
	}
	p := pathRule{path: parts[0].text, strip: prefix != ""}
	if len(parts) > 1 {
		p.path, p.parts = path, parts
	}
	if p.parts != nil && p.strip {
		return pathRule{}, fmt.Errorf("upstream_path %q: a path with placeholders is the whole path: want no strip_path_prefix", path)
	}
	if decoded, err := url.PathUnescape(prefix); err == nil {
		prefix = decoded
	}
	p.prefix, p.merge = strings.TrimSuffix(prefix, "/"), !strings.Contains(prefix, "//")
	return p, nil
}

// apply returns the request as the upstream gets it; the request itself is
// left alone. A path that cannot become the upstream's is an error.
func (p *pathRule) apply(r *http.Request, repl *caddy.Replacer) (*http.Request, error) {
	escaped := p.path
	switch {
	case escaped == "":
		return r, nil
	case p.strip:
		rest, err := p.rest(r.URL)
		if err != nil {
			return nil, err
		}
		escaped = join(p.path, rest)
	case p.parts != nil:
		var err error
		if escaped, err = fill(p.parts, r, repl); err != nil {
			return nil, err
		}
	}
	path, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, errors.New("the path is not validly escaped")
	}
	out := *r
	u := *r.URL
	u.Path, u.RawPath, u.Opaque = path, escaped, "" // GET a:b has that
	out.URL = &u
	out.RequestURI = u.RequestURI()
	return &out, nil
}

// rest returns what follows the prefix, escaped as it came. The prefix itself
// is found as Caddy's path matcher finds it: decoded, clean, and whatever the
// case. Its slash may have come escaped.
func (p *pathRule) rest(u *url.URL) (string, error) {
	decoded, escaped := u.Path, u.EscapedPath()
	if unclean(decoded) {
		var err error
		if decoded, escaped, err = clean(u, p.merge); err != nil {
			return "", err
		}
	}
	n := len(p.prefix)
	switch {
	case len(decoded) < n || !strings.EqualFold(decoded[:n], p.prefix) || len(decoded) > n && decoded[n] != '/':
		return "", fmt.Errorf("the path of the request is not below %s/", p.prefix)
	case len(decoded) == n:
		return "", nil
	}
	rest := escaped[escapedIndex(escaped, n+1):]
	if !p.merge {
		rest = single(rest)
	}
	return rest, nil
}

// unclean reports whether Caddy's matchers see another path than this decoded
// one.
func unclean(path string) bool { return strings.Contains(path, "//") || dotted(path) }

// dotted reports whether a decoded path has a segment that is . or ..
func dotted(path string) bool {
	for rest := path; ; {
		i := strings.Index(rest, "/.")
		if i < 0 {
			return false
		}
		rest = rest[i+2:]
		if after := strings.TrimPrefix(rest, "."); after == "" || after[0] == '/' {
			return true
		}
	}
}

// clean returns a path as Caddy's matchers see it, decoded and escaped. Slashes
// that came escaped are data, and stay; a segment . or .. behind one would mean
// something else to whoever decodes it, and is refused.
func clean(u *url.URL, mergeSlashes bool) (decoded, escaped string, err error) {
	escaped = caddyhttp.CleanPath("/"+dots.Replace(strings.TrimPrefix(u.EscapedPath(), "/")), mergeSlashes)
	decoded, err = url.PathUnescape(escaped)
	if err != nil || dotted(decoded) {
		return "", "", errLeaves
	}
	return decoded, escaped, nil
}

// dots shows the dots that came escaped.
var dots = strings.NewReplacer("%2e", ".", "%2E", ".")

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
