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

// part is a piece of an upstream's path: text as it stands in a URL, and the
// placeholder behind it, if any.
type part struct{ text, key string }

// parsePath reads the path of an upstream, which may hold placeholders.
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
	if dotted("/" + whole) {
		return nil, errors.New("a segment . or .. in it")
	}
	return parts, nil
}

// fill puts the placeholders' values in their places. What would lead out of
// the path is refused; values are not named, they may be secret.
func fill(parts []part, r *http.Request, repl *caddy.Replacer) (string, error) {
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
	escaped := single(b.String())
	if decoded, err := url.PathUnescape(escaped); err != nil || dotted(decoded) {
		return "", errLeaves
	}
	return escaped, nil
}

// errLeaves says that a value has a segment . or .. in it.
var errLeaves = errors.New("the request leads out of the upstream's path")

// value returns a placeholder's value, escaped for a path. All but the URI and
// its path are plain text.
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
		decoded, escaped := r.URL.Path, r.URL.EscapedPath()
		if unclean(decoded) {
			decoded, escaped, _ = clean(r.URL, true) // empty where nothing can come of it
		}
		if raw, ok := rawPart(decoded, escaped, v); ok {
			return raw, nil
		}
	}
	return (&url.URL{Path: v}).EscapedPath(), nil
}

// checkSegments refuses a part of the path, such as its file name, where a slash
// came escaped: the placeholders split the path where it was none.
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
	if !unclean(u.Path) {
		return u.EscapedPath(), nil
	}
	_, escaped, err := clean(u, true)
	return escaped, err
}

// rawPart returns the part of an escaped path that a part of the decoded one
// came from: path_regexp captures from the decoded path.
func rawPart(decoded, escaped, v string) (string, bool) {
	at := len(decoded) - len(v)
	if !strings.HasSuffix(decoded, v) {
		at = strings.Index(decoded, v)
	}
	if at < 0 {
		return "", false
	}
	return escaped[escapedIndex(escaped, at):escapedIndex(escaped, at+len(v))], true
}

// single makes runs of slashes at the front and at joints one slash.
func single(path string) string {
	path = "/" + strings.TrimLeft(path, "/")
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return path
}
