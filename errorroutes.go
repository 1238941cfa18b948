package wsgate

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/wsgate/wsgate/internal/handshake"
)

// answer sends a refusal. If an error route would answer, it returns the
// refusal as an error, which Caddy gives to the error routes. Otherwise it
// writes the answer, with the reason, so that Caddy does not log each refusal
// as an error. On HTTP/2 and HTTP/3 it always writes the answer: Caddy gives
// error routes its own copy of the request, and that copy is still a handshake.
// It also does so for a method other than GET, and for a request with a body.
func (q *request) answer(status int, err error) error {
	handshake.LimitWrites(q.w, q.r)
	if status == http.StatusServiceUnavailable {
		q.w.Header().Set("Retry-After", strconv.Itoa(q.retryAfter()))
	}
	if s := q.h.server; q.handshake.Detached && cameAsGet(q.r) && !q.body && s != nil && s.Errors != nil && len(s.Errors.Routes) > 0 {
		refusal := caddyhttp.Error(status, err)
		if hasErrorRoute(s.Errors.Routes, asErrorRoutesSee(s.Errors, q.r, refusal)) {
			return refusal
		}
	}
	q.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	q.w.Header().Set("X-Content-Type-Options", "nosniff")
	q.w.WriteHeader(status)
	var he caddyhttp.HandlerError
	if errors.As(err, &he) { // its text is for error routes
		err = errors.New(http.StatusText(status))
	}
	_, _ = fmt.Fprintln(q.w, err) // a client that is gone needs no answer
	return nil
}

// cameAsGet reports whether a request came as a GET. Caddy gives error routes
// the original method, and they must see a refused handshake as a plain GET.
func cameAsGet(r *http.Request) bool {
	o, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	return !ok || o.Method == http.MethodGet
}

// asErrorRoutesSee returns the request as error routes get it: with the error,
// and as it was before any rewrite (modules/caddyhttp/server.go, ServeHTTP).
func asErrorRoutesSee(c *caddyhttp.HTTPErrorConfig, r *http.Request, err error) *http.Request {
	r = c.WithError(r, err)
	if o, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		r.Method, r.RemoteAddr, r.RequestURI, r.URL = o.Method, o.RemoteAddr, o.RequestURI, o.URL
	}
	return r
}

// hasErrorRoute reports whether one of the error routes has a handler for r.
// The routes of all sites on a listener are in one list, and handle_errors may
// name other statuses. Where no route has a handler, Caddy sends the bare
// status. The function does not look at what a handler does: any handler but a
// subroute counts.
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
