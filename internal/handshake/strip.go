package handshake

import (
	"net/http"
	"reflect"
	"strings"
)

// Strip turns a refused handshake into a plain GET, in place. So every route
// after the refusal (error routes, handle_response, intercept) sees a request
// that asks for no WebSocket and has no body. Copies of the request share its
// header fields, and lose them too. On HTTP/2 and HTTP/3 a copy keeps its
// method and protocol, so a refusal there must reach no route at all.
func Strip(r *http.Request) {
	for name := range r.Header {
		if isHandshakeField(name) {
			delete(r.Header, name)
		}
	}
	if r.ProtoMajor == 3 {
		r.Proto = "HTTP/3.0" // an extended CONNECT has its protocol there
	}
	r.Method = http.MethodGet
	r.Body, r.ContentLength, r.TransferEncoding, r.Trailer = http.NoBody, 0, nil, nil
}

// isHandshakeField reports whether a header field belongs to a handshake or to
// a body, or is hop-by-hop. Caddy uses the spelling of RFC 6455 for some
// fields, net/http its own.
func isHandshakeField(name string) bool {
	switch name {
	case "Upgrade", "Connection", "Http2-Settings", "Content-Length", "Transfer-Encoding", "Trailer", "Expect", ":protocol":
		return true
	}
	const prefix = "sec-websocket-"
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}

// interceptPackage is the package of Caddy's intercept handler.
const interceptPackage = "github.com/caddyserver/caddy/v2/modules/caddyhttp/intercept"

// BypassIntercept returns a writer whose answer no intercept handler sees. An
// intercept handler that sees an answer runs its own routes with the request
// that it has kept. If no intercept is around w, it returns w. Otherwise it
// also skips the writers that other handlers have put inside the intercept.
func BypassIntercept(w http.ResponseWriter) http.ResponseWriter {
	past := w
	for at := w; ; {
		u, ok := at.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return past
		}
		below := u.Unwrap()
		if isIntercept(at) {
			if recorder, ok := below.(interface{ Unwrap() http.ResponseWriter }); ok {
				below = recorder.Unwrap() // it holds the answer back
			}
			past = below
		}
		at = below
	}
}

// isIntercept reports whether a writer was made by an intercept handler.
func isIntercept(w http.ResponseWriter) bool {
	t := reflect.TypeOf(w)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath() == interceptPackage
}
