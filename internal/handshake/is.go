package handshake

import (
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Is reports whether r asks for a WebSocket: on HTTP/1.1 its Upgrade header
// names websocket (RFC 6455 §4.1), on HTTP/2 (RFC 8441) and HTTP/3 (RFC 9220)
// it is an extended CONNECT with that protocol, whatever a handler in front has
// made of its method: Caddy's error routes see CONNECT again. It says nothing
// about whether the rest is in order: that is [Check].
func Is(r *http.Request) bool {
	switch r.ProtoMajor {
	case 2:
		return r.Header.Get(":protocol") == "websocket"
	case 3:
		return r.Proto == "websocket"
	}
	return namesWebsocket(r.Header["Upgrade"])
}

// namesWebsocket reports whether an Upgrade header names websocket. Letters are
// the same in either case as in ASCII (RFC 6455 §2.1): strings.EqualFold would
// also take ſ for s, and the Kelvin sign for k.
func namesWebsocket(lines []string) bool {
	return httpguts.HeaderValuesContainsToken(lines, "websocket")
}

// Detached reports whether the connection of r can leave its handler: on
// HTTP/1.1 it can, a stream of HTTP/2 or HTTP/3 lives as long as its handler.
func Detached(r *http.Request) bool { return r.ProtoMajor < 2 }

// tokens yields the elements of a comma-separated header, without white space
// and without empty ones (RFC 9110 §5.6.1).
func tokens(lines []string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, line := range lines {
			for part := range strings.SplitSeq(line, ",") {
				if part = strings.Trim(part, " \t"); part != "" && !yield(part) {
					return
				}
			}
		}
	}
}
