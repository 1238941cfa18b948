package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/wsgate/wsgate/internal/registry"
	"github.com/wsgate/wsgate/internal/wire"
)

// endpoint is one path: the function for each method. GET also answers HEAD.
type endpoint map[string]caddy.AdminHandlerFunc

// ServeHTTP refuses what the path does not accept, and calls the method's
// function.
func (e endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) error {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	call, ok := e[method]
	if !ok {
		allow := e.allow()
		w.Header().Set("Allow", allow)
		return refuse(http.StatusMethodNotAllowed, "method %s: this path takes %s", wire.Clip(r.Method), allow)
	}
	if err := checkQuery(r); err != nil {
		return err
	}
	if err := checkHeaders(r, method); err != nil {
		return err
	}
	return call(w, r)
}

func (e endpoint) allow() string {
	methods := slices.Collect(maps.Keys(e))
	if e[http.MethodGet] != nil {
		methods = append(methods, http.MethodHead)
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}

// checkQuery refuses query parameters: no call so far has one.
func checkQuery(r *http.Request) error {
	if r.URL.RawQuery == "" {
		return nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(query) == 0 {
		return refuse(http.StatusBadRequest, "query: cannot be read, and this call takes no query parameters")
	}
	name := slices.Sorted(maps.Keys(query))[0]
	return refuse(http.StatusBadRequest, "unknown query parameter %s: this call takes none", wire.Clip(name))
}

// checkHeaders refuses headers and bodies that would otherwise be silently
// ignored.
func checkHeaders(r *http.Request, method string) error {
	if method == http.MethodGet {
		return nil
	}
	if r.Header.Get("If-None-Match") != "" {
		return refuse(http.StatusBadRequest, "If-None-Match: not understood here, use If-Match with the ETag of a GET")
	}
	if method == http.MethodDelete && hasBody(r) {
		return refuse(http.StatusBadRequest, "body: DELETE takes none")
	}
	return nil
}

func hasBody(r *http.Request) bool {
	if r.ContentLength == 0 || r.Body == nil {
		return false
	}
	n, _ := io.ReadFull(r.Body, make([]byte, 1))
	return n > 0
}

// ifMatch returns the If-Match header as the registry compares it. "": there is
// none. A blank header is returned as an ETag that matches no state.
func ifMatch(r *http.Request) string {
	values := r.Header.Values("If-Match")
	if len(values) == 0 {
		return ""
	}
	if all := strings.Join(values, ","); strings.TrimSpace(all) != "" {
		return all
	}
	return `""`
}

// callerAddress returns the address that a request came from, without its port.
func callerAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil || host == "" {
		return "unix"
	}
	return host
}

// reply answers 200 with a value as JSON. etag may be empty.
func reply(w http.ResponseWriter, etag string, value any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store") // counters change all the time
	if etag != "" {
		w.Header().Set("ETag", etag)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return nil
}

// line returns a line of admin.api.wsgate. The answer does not wait for it.
func line(message string, fields ...zap.Field) registry.Line {
	return registry.Line{Admin: true, Level: zapcore.InfoLevel, Message: message, Fields: fields}
}
