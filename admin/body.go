package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"

	"github.com/wsgate/wsgate/internal/wire"
)

// maxBody is the largest request body, in bytes. The longest useful one has 1
// KiB.
const maxBody = 64 << 10

// newNames maps the old names of fields to the new ones.
var newNames = map[string]string{"on_close": "closing"}

// object is a JSON object whose values are not yet decoded.
type object struct {
	prefix string // of its fields in errors: "" or "closing."
	fields map[string]json.RawMessage
}

// readObject reads the body of a request: one JSON object that has no fields
// other than the known ones.
func readObject(w http.ResponseWriter, r *http.Request, known ...string) (object, error) {
	if err := checkType(r); err != nil {
		return object{}, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(innermost(w), r.Body, maxBody))
	if tooMany := (*http.MaxBytesError)(nil); errors.As(err, &tooMany) {
		return object{}, refuse(http.StatusRequestEntityTooLarge, "body: larger than %d bytes", maxBody)
	}
	if err != nil {
		return object{}, refuse(http.StatusBadRequest, "body: ended before it was complete")
	}
	if err := checkSyntax(body); err != nil {
		return object{}, err
	}
	return parseObject(body, "", known...)
}

// innermost returns the server's own writer below Caddy's writers. Only this
// one lets MaxBytesReader close the connection after the answer. The server
// then closes it so slowly that a client which is still sending can read the
// answer.
func innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = u.Unwrap()
	}
}

// checkType requires JSON. It also accepts a request without a Content-Type,
// unless a browser sent it. A page of another site can make a browser send such
// a request, but none with application/json, and the remote admin endpoint does
// not check Origin.
func checkType(r *http.Request) error {
	if coding := strings.Join(r.Header.Values("Content-Encoding"), ", "); coding != "" && !strings.EqualFold(coding, "identity") {
		return refuse(http.StatusUnsupportedMediaType, "Content-Encoding %s: want the body as it is", wire.Clip(coding))
	}
	switch types := r.Header.Values("Content-Type"); {
	case len(types) == 1 && isJSON(types[0]):
		return nil
	case strings.Join(types, "") == "" && !fromBrowser(r):
		return nil
	default:
		return refuse(http.StatusUnsupportedMediaType, "Content-Type %s: want application/json, as with curl -H 'Content-Type: application/json'",
			wire.Clip(strings.Join(types, ", ")))
	}
}

// isJSON reports whether a Content-Type is application/json, or another
// application type with JSON syntax (RFC 6839 §3.1). Parameters do not matter.
func isJSON(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	subtype, ok := strings.CutPrefix(t, "application/")
	return err == nil && ok && (subtype == "json" || len(subtype) > len("+json") && strings.HasSuffix(subtype, "+json"))
}

// fromBrowser reports whether a header shows that a browser made the request.
func fromBrowser(r *http.Request) bool {
	return len(r.Header.Values("Origin")) > 0 || len(r.Header.Values("Sec-Fetch-Site")) > 0
}

// checkSyntax refuses a body that is not one JSON text of valid UTF-8, because
// encoding/json would silently repair it.
func checkSyntax(body []byte) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return refuse(http.StatusBadRequest, "body: empty, want a JSON object")
	}
	if !utf8.Valid(body) {
		return refuse(http.StatusBadRequest, "body: not valid UTF-8")
	}
	if err := json.Compact(new(bytes.Buffer), body); err != nil {
		return refuse(http.StatusBadRequest, "body: not JSON: %s", err)
	}
	return nil
}

// parseObject splits a valid JSON object into its fields. It compares field
// names exactly, and each may occur once. encoding/json would accept a second
// one and take the last.
func parseObject(b []byte, prefix string, known ...string) (object, error) {
	o := object{prefix: prefix, fields: make(map[string]json.RawMessage)}
	where := strings.TrimSuffix(prefix, ".")
	if where == "" {
		where = "body"
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return o, refuse(http.StatusBadRequest, "%s: want an object with %s", where, strings.Join(known, ", "))
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return o, fmt.Errorf("reading a field name: %w", err)
		}
		name, _ := t.(string)
		if now, renamed := newNames[name]; renamed && slices.Contains(known, now) {
			return o, refuse(http.StatusBadRequest, "%s: field %q is called %q now", where, name, now)
		}
		if !slices.Contains(known, name) {
			return o, refuse(http.StatusBadRequest, "%s: unknown field %s: want %s", where, wire.Clip(name), strings.Join(known, ", "))
		}
		if _, twice := o.fields[name]; twice {
			return o, refuse(http.StatusBadRequest, "%s: field %q occurs twice", where, name)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return o, fmt.Errorf("reading field %q: %w", name, err)
		}
		o.fields[name] = value
	}
	return o, nil
}

func (o object) has(name string) bool { return o.fields[name] != nil }

// isBool reports whether a field is true or false.
func (o object) isBool(name string) bool {
	s := string(o.fields[name])
	return s == "true" || s == "false"
}

// text returns a field that must be a string. "": it is absent.
func (o object) text(name string) (s string, err error) {
	raw := o.fields[name]
	if raw == nil {
		return "", nil
	}
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", o.invalid(name, `want a string in double quotes`)
	}
	if wasRepaired(raw, s) {
		return "", o.invalid(name, "half a surrogate pair is no character")
	}
	return s, nil
}

// wasRepaired reports whether encoding/json has replaced an invalid escape with
// U+FFFD.
func wasRepaired(raw []byte, s string) bool {
	sent := bytes.Count(raw, []byte("\uFFFD")) + bytes.Count(bytes.ToLower(raw), []byte(`\ufffd`))
	return strings.Count(s, "\uFFFD") > sent
}

// integer returns a field that must be a whole number. 0: it is absent.
func (o object) integer(name string) (n int, err error) {
	raw := o.fields[name]
	if raw == nil {
		return 0, nil
	}
	if raw[0] == 'n' || json.Unmarshal(raw, &n) != nil {
		return 0, o.invalid(name, "want a whole number")
	}
	return n, nil
}

// duration returns a field that must be a string such as "90s". 0: it is
// absent. Days are allowed: "1d".
func (o object) duration(name string) (time.Duration, error) {
	raw := o.fields[name]
	if raw == nil {
		return 0, nil
	}
	const want = `want a duration in double quotes, such as "90s" or "1h30m"`
	if raw[0] != '"' {
		return 0, o.invalid(name, want)
	}
	s, err := o.text(name)
	if err != nil {
		return 0, err
	}
	d, err := caddy.ParseDuration(s)
	if err != nil {
		return 0, o.invalid(name, wire.Clip(s)+": "+want)
	}
	return d, nil
}

// invalid refuses a field's value.
func (o object) invalid(name, problem string) error {
	return refuse(http.StatusBadRequest, "%s%s: %s", o.prefix, name, problem)
}
