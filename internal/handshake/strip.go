package handshake

import (
	"net/http"
	"reflect"
	"strings"
)

// Strip makes a handshake that was refused a plain GET, in place: whatever
// route comes after the refusal (error routes, handle_response, intercept) sees
// a request that asks for no WebSocket and has no body. Copies of the request
// share its header fields and lose them, too. On HTTP/2 and HTTP/3 a copy keeps
// its method and protocol, so a refusal there must reach no route at all.
func Strip(r *http.Request) {
	for name := range r.Header {
		if ofHandshake(name) {
			delete(r.Header, name)
		}
	}
	if r.ProtoMajor == 3 {
		r.Proto = "HTTP/3.0" // an extended CONNECT has its protocol there
	}
	r.Method = http.MethodGet
	r.Body, r.ContentLength, r.TransferEncoding, r.Trailer = http.NoBody, 0, nil, nil
}

// ofHandshake reports whether a header field belongs to a handshake, to a body,
// or to this hop alone. Caddy spells some as RFC 6455 does, net/http in its own
// way.
func ofHandshake(name string) bool {
	switch name {
	case "Upgrade", "Connection", "Http2-Settings", "Content-Length", "Transfer-Encoding", "Trailer", "Expect", ":protocol":
		return true
	}
	const prefix = "sec-websocket-"
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}

// interceptPackage is where Caddy's intercept handler lives.
const interceptPackage = "github.com/caddyserver/caddy/v2/modules/caddyhttp/intercept"

// PastIntercept returns a writer whose answer no intercept handler sees: one
// that does runs routes of its own with the request that it has kept. Without
// an intercept around w it is w. What other handlers have put around the writer
// inside of an intercept is left out with it.
func PastIntercept(w http.ResponseWriter) http.ResponseWriter {
	past := w
	for at := w; ; {
		u, ok := at.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return past
		}
		below := u.Unwrap()
		if ofIntercept(at) {
			if recorder, ok := below.(interface{ Unwrap() http.ResponseWriter }); ok {
				below = recorder.Unwrap() // which holds the answer back
			}
			past = below
		}
		at = below
	}
}

// ofIntercept reports whether a writer was made by an intercept handler.
func ofIntercept(w http.ResponseWriter) bool {
	t := reflect.TypeOf(w)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath() == interceptPackage
}
