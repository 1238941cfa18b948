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

// Malformed means that the request's path cannot be changed to the upstream's.
// No upstream was asked.
const Malformed Outcome = "malformed"

// pathRule changes the path of a request to the upstream's. It always works on
// the escaped form: %2F and %3F stay as they are.
type pathRule struct {
	prefix string // decoded, without a trailing slash
	merge  bool   // merge slashes, as the matcher with that prefix does
	path   string // escaped; empty: the path is not changed
	strip  bool
	parts  []part // of a path with placeholders
}

// newPathRule parses prefix and path as the configuration has them.
func newPathRule(prefix, path string) (pathRule, error) {
	if path == "" || path == "/" && prefix == "" { // the root alone means: the path as it was sent
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

// apply returns the request for the upstream, and does not change r. It returns
// an error if the path cannot be changed to the upstream's.
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
		if escaped, err = fillPlaceholders(p.parts, r, repl); err != nil {
			return nil, err
		}
	}
	path, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, errors.New("the path is not validly escaped")
	}
	out := *r
	u := *r.URL
	u.Path, u.RawPath, u.Opaque = path, escaped, "" // Opaque is set for a request such as GET a:b
	out.URL = &u
	out.RequestURI = u.RequestURI()
	return &out, nil
}

// rest returns what follows the prefix, escaped as it was sent. It finds the
// prefix as Caddy's path matcher does: decoded, clean, and in any case. The
// slash after the prefix may have been sent escaped.
func (p *pathRule) rest(u *url.URL) (string, error) {
	decoded, escaped := u.Path, u.EscapedPath()
	if needsCleaning(decoded) {
		var err error
		if decoded, escaped, err = cleanPath(u, p.merge); err != nil {
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
		rest = singleSlashes(rest)
	}
	return rest, nil
}

// needsCleaning reports whether Caddy's matchers see another path than this
// decoded one.
func needsCleaning(path string) bool { return strings.Contains(path, "//") || hasDotSegment(path) }

// hasDotSegment reports whether a decoded path has a segment that is . or ..
func hasDotSegment(path string) bool {
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

// cleanPath returns a path as Caddy's matchers see it, decoded and escaped.
// Slashes that were sent escaped are data, and stay. A segment . or .. after
// such a slash is refused: whoever decodes it would see another path.
func cleanPath(u *url.URL, mergeSlashes bool) (decoded, escaped string, err error) {
	escaped = caddyhttp.CleanPath("/"+plainDots.Replace(strings.TrimPrefix(u.EscapedPath(), "/")), mergeSlashes)
	decoded, err = url.PathUnescape(escaped)
	if err != nil || hasDotSegment(decoded) {
		return "", "", errLeavesPath
	}
	return decoded, escaped, nil
}

// plainDots replaces escaped dots with plain ones.
var plainDots = strings.NewReplacer("%2e", ".", "%2E", ".")

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

// escapedIndex returns the position in the escaped path of the n-th byte of the
// decoded one.
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
