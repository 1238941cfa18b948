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

// part is a piece of an upstream's path: text as in a URL, and the placeholder
// after it, if any.
type part struct{ text, key string }

// parsePath parses the path of an upstream, which may have placeholders.
func parsePath(path string) ([]part, error) {
	var parts []part
	var whole string
	for rest := path; ; {
		text, after, found := strings.Cut(rest, "{")
		if strings.Contains(text, "}") {
			return nil, errors.New("a '}' without its '{': want a placeholder such as {re.ws.1}, or %7D")
		}
		if strings.Contains(text, "//") {
			return nil, errors.New("a double slash")
		}
		decoded, err := url.PathUnescape(text)
		if err != nil {
			return nil, err
		}
		whole += decoded
		text = (&url.URL{Path: decoded, RawPath: text}).EscapedPath()
		if !found {
			parts = append(parts, part{text: text})
			break
		}
		key, tail, found := strings.Cut(after, "}")
		if !found || strings.Contains(key, "{") {
			return nil, errors.New("a '{' without its '}': want a placeholder such as {re.ws.1}, or %7B")
		}
		if key == "" {
			return nil, errors.New("a placeholder without a name")
		}
		whole += "x" // some value
		parts = append(parts, part{text, key})
		rest = tail
	}
	if hasDotSegment("/" + whole) {
		return nil, errors.New("a segment . or .. in it")
	}
	return parts, nil
}

// fillPlaceholders replaces the placeholders with their values. It refuses
// values that lead out of the path. The error does not show them, because they
// may be secret.
func fillPlaceholders(parts []part, r *http.Request, repl *caddy.Replacer) (string, error) {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.text)
		if p.key == "" {
			continue
		}
		v, err := value(p.key, r, repl)
		if err != nil {
			return "", err
		}
		b.WriteString(v)
	}
	escaped := singleSlashes(b.String())
	if decoded, err := url.PathUnescape(escaped); err != nil || hasDotSegment(decoded) {
		return "", errLeavesPath
	}
	return escaped, nil
}

// errLeavesPath means that a value has a segment . or .. in it.
var errLeavesPath = errors.New("the request leads out of the upstream's path")

// value returns a placeholder's value, escaped for a path. All values except
// the URI and its path are plain text.
func value(key string, r *http.Request, repl *caddy.Replacer) (string, error) {
	switch key {
	case "http.request.uri", "http.request.uri.path":
		return pathOf(r.URL)
	case "http.request.orig_uri", "http.request.orig_uri.path":
		original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
		if !ok {
			return "", fmt.Errorf("{%s} is not known", key)
		}
		return pathOf(original.URL)
	}
	if err := checkSegments(key, r); err != nil {
		return "", err
	}
	v := repl.ReplaceAll("{"+key+"}", "")
	if strings.HasPrefix(key, "http.regexp.") {
		if raw, found, err := capturedPart(r, v); found || err != nil {
			return raw, err
		}
	}
	return (&url.URL{Path: v}).EscapedPath(), nil
}

// checkSegments refuses a part of the path, such as its file name, if the path
// was sent with an escaped slash: the placeholders would split the path at a
// slash that is data.
func checkSegments(key string, r *http.Request) error {
	u := r.URL
	if strings.HasPrefix(key, "http.request.orig_uri.path.") {
		if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
			u = original.URL
		}
	} else if !strings.HasPrefix(key, "http.request.uri.path.") {
		return nil
	}
	if strings.Contains(strings.ToLower(u.EscapedPath()), "%2f") {
		return errors.New("the path of the request has an escaped slash, and the upstream's path is made of its parts")
	}
	return nil
}

// pathOf returns a request's path, escaped and clean.
func pathOf(u *url.URL) (string, error) {
	if !needsCleaning(u.Path) {
		return u.EscapedPath(), nil
	}
	_, escaped, err := cleanPath(u, true)
	return escaped, err
}

// capturedPart returns the text that a value was captured from, escaped as it
// was sent. path_regexp captures from the decoded path: that of the current
// request, or that before a rewrite. found is false if the value is in neither.
func capturedPart(r *http.Request, v string) (raw string, found bool, err error) {
	if raw, found, err = rawPart(r.URL, v); found || err != nil {
		return raw, found, err
	}
	if o, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && o.URL != nil {
		return rawPart(o.URL, v)
	}
	return "", false, nil
}

// rawPart returns the part of an escaped path that belongs to a part of the
// decoded one, as Caddy's matchers see it. It returns an error if the part
// occurs twice and was sent in two ways that mean different paths.
func rawPart(u *url.URL, v string) (raw string, found bool, err error) {
	decoded, at, escaped := matcherView(u)
	last := strings.LastIndex(decoded, v) // most expressions capture the end
	if last < 0 {
		return "", false, nil
	}
	raw = escaped[at[last]:at[last+len(v)]]
	for i, places := 0, 0; i < last && v != "" && places < mostPlaces; i, places = i+1, places+1 {
		i += strings.Index(decoded[i:], v)
		if other := escaped[at[i]:at[i+len(v)]]; normalizeEscapes(other) != normalizeEscapes(raw) {
			return "", false, errTwice
		}
	}
	return raw, true, nil
}

// mostPlaces limits how many places of one value in a path are compared. A
// client could send a path with as many places as it has letters.
const mostPlaces = 100

// errTwice means that a captured value occurs twice in the path, and that the
// two places have escapes that mean different paths.
var errTwice = errors.New("a captured part occurs twice in the path of the request, with escapes that mean different paths")

// matcherView returns a path as Caddy's matchers see it (decoded, slashes
// merged, without dots), and the position in the escaped path of each of its
// bytes and of its end.
func matcherView(u *url.URL) (decoded string, at []int, escaped string) {
	escaped = u.EscapedPath()
	if hasDotSegment(u.Path) {
		var err error
		if _, escaped, err = cleanPath(u, true); err != nil {
			return "", []int{0}, "" // no value is found in it
		}
	}
	b := make([]byte, 0, len(escaped))
	for i := 0; i < len(escaped); i++ {
		c, from := escaped[i], i
		if c == '%' && i+2 < len(escaped) {
			c = unhex(escaped[i+1])<<4 | unhex(escaped[i+2])
			i += 2
		}
		if c == '/' && len(b) > 0 && b[len(b)-1] == '/' {
			continue
		}
		b, at = append(b, c), append(at, from)
	}
	return string(b), append(at, len(escaped)), escaped
}

// normalizeEscapes changes the escapes of a path to one form. Escaped letters,
// digits and -._~ mean the character itself (RFC 3986 §2.3). All other escapes
// are data.
func normalizeEscapes(escaped string) string {
	var b strings.Builder
	for i := 0; i < len(escaped); i++ {
		if escaped[i] != '%' || i+2 >= len(escaped) {
			b.WriteByte(escaped[i])
			continue
		}
		c := unhex(escaped[i+1])<<4 | unhex(escaped[i+2])
		if c == '-' || c == '.' || c == '_' || c == '~' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
			b.WriteByte(c)
		} else {
			b.WriteString(strings.ToUpper(escaped[i : i+3]))
		}
		i += 2
	}
	return b.String()
}

// unhex returns the value of a hexadecimal digit in a validly escaped path.
func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}

// singleSlashes replaces each run of slashes with one slash, and puts one at
// the front.
func singleSlashes(path string) string {
	path = "/" + strings.TrimLeft(path, "/")
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return path
}
