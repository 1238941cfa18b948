package wsgate

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/wsgate/wsgate/internal/handshake"
)

// answer sends a refusal. Where one of the error routes answers, it leaves the
// refusal to them. Elsewhere it answers by itself, with the reason, so that
// Caddy does not log each refusal as an error. On HTTP/2 and HTTP/3 it always
// answers by itself: Caddy gives error routes its own copy of the request, and
// that copy is still a handshake. It does the same for a method other than GET
// and for a request with a body.
func (a *request) answer(status int, err error) error {
	handshake.LimitWrites(a.w, a.r)
	if status == http.StatusServiceUnavailable {
		a.w.Header().Set("Retry-After", strconv.Itoa(a.retryAfter()))
	}
	if s := a.h.server; a.handshake.Detached && wasGet(a.r) && !a.body && s != nil && s.Errors != nil && len(s.Errors.Routes) > 0 {
		refusal := caddyhttp.Error(status, err)
		if hasErrorRoute(s.Errors.Routes, asError(s.Errors, a.r, refusal)) {
			return refusal
		}
	}
	a.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	a.w.Header().Set("X-Content-Type-Options", "nosniff")
	a.w.WriteHeader(status)
	var he caddyhttp.HandlerError
	if errors.As(err, &he) { // its text is for error routes
		err = errors.New(http.StatusText(status))
	}
	_, _ = fmt.Fprintln(a.w, err) // a client that is gone needs no answer
	return nil
}

// wasGet reports whether a request came as a GET. Caddy gives error routes the
// original method, and they must see a refused handshake as a plain GET.
func wasGet(r *http.Request) bool {
	o, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	return !ok || o.Method == http.MethodGet
}

// asError returns the request as error routes get it: with the error, and as it
// was before any rewrite (modules/caddyhttp/server.go, ServeHTTP).
func asError(c *caddyhttp.HTTPErrorConfig, r *http.Request, err error) *http.Request {
	r = c.WithError(r, err)
	if o, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		r.Method, r.RemoteAddr, r.RequestURI, r.URL = o.Method, o.RemoteAddr, o.RequestURI, o.URL
	}
	return r
}

// hasErrorRoute reports whether one of the error routes has a handler for r. The
// routes of all sites on a listener are in one list, and handle_errors may name
// other statuses. Where no route has a handler, Caddy sends the bare status.
// The function does not look at what a handler does: any handler but a subroute
// counts.
func hasErrorRoute(routes caddyhttp.RouteList, r *http.Request) bool {
	for _, route := range routes {
		if match, err := route.MatcherSets.AnyMatchWithError(r); err == nil && !match {
			continue
		}
		for _, h := range route.Handlers {
			if sub, ok := h.(*caddyhttp.Subroute); !ok || hasErrorRoute(sub.Routes, r) {
				return true
			}
		}
	}
	return false
}
