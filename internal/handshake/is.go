package handshake

import (
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Is reports whether r asks for a WebSocket, or for a pipe through which one could
// be had: on HTTP/1.1 its Upgrade header names websocket (RFC 6455 §4.1), on
// HTTP/2 (RFC 8441) and HTTP/3 (RFC 9220) it is a CONNECT, extended with that
// protocol or not, whatever a handler in front has made of its method: Caddy's
// error routes see CONNECT again. It says nothing about whether the rest is in
// order: that is [Check], which refuses every CONNECT for anything else.
func Is(r *http.Request) bool {
	if r.ProtoMajor < 2 {
		return slices.ContainsFunc(r.Header["Upgrade"], meansWebsocket)
	}
	return r.Method == http.MethodConnect || meansWebsocket(protocol(r))
}

// protocol is what an extended CONNECT asks for.
func protocol(r *http.Request) string {
	if r.ProtoMajor == 3 {
		return r.Proto // HTTP/3.0 for any other request
	}
	return r.Header.Get(":protocol")
}

// meansWebsocket reports whether anything on the way could take a text for the
// name websocket. Caddy's reverse_proxy makes the letters small as Unicode does,
// the Kelvin sign among them, and passes on what it gets; backends compare as
// they like.
func meansWebsocket(text string) bool {
	return text == "websocket" || strings.Contains(strings.ToLower(strings.ToUpper(text)), "websocket")
}

// namesWebsocket reports whether an Upgrade header has the token websocket.
// Letters are the same in either case as in ASCII (RFC 6455 §2.1).
func namesWebsocket(lines []string) bool {
	return httpguts.HeaderValuesContainsToken(lines, "websocket")
}

// detached reports whether the connection of r can leave its handler: on
// HTTP/1.1 it can, a stream of HTTP/2 or HTTP/3 lives as long as its handler.
func detached(r *http.Request) bool { return r.ProtoMajor < 2 }

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
