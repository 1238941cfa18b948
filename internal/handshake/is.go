package handshake

import (
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Is reports whether r asks for a WebSocket, or for a pipe that could carry
// one. On HTTP/1.1 its Upgrade header names websocket (RFC 6455 §4.1). On
// HTTP/2 (RFC 8441) and HTTP/3 (RFC 9220) it is a CONNECT, with or without that
// protocol, even if a handler in front has changed its method: Caddy's error
// routes see CONNECT again. [Check] checks the rest, and refuses every CONNECT
// for another protocol.
func Is(r *http.Request) bool {
	if r.ProtoMajor < 2 {
		return slices.ContainsFunc(r.Header["Upgrade"], couldMeanWebsocket)
	}
	return r.Method == http.MethodConnect || couldMeanWebsocket(protocol(r))
}

// protocol returns the protocol that an extended CONNECT asks for.
func protocol(r *http.Request) string {
	if r.ProtoMajor == 3 {
		return r.Proto // HTTP/3.0 for any other request
	}
	return r.Header.Get(":protocol")
}

// couldMeanWebsocket reports whether any server on the way could read a text as
// the name websocket. Caddy's reverse_proxy changes letters to lower case by
// the rules of Unicode, which make a k of the Kelvin sign, and forwards the
// text that it got. Backends may compare in other ways.
func couldMeanWebsocket(text string) bool {
	return text == "websocket" || strings.Contains(strings.ToLower(strings.ToUpper(text)), "websocket")
}

// namesWebsocket reports whether an Upgrade header has the token websocket.
// Only the case of ASCII letters is ignored (RFC 6455 §2.1).
func namesWebsocket(lines []string) bool {
	return httpguts.HeaderValuesContainsToken(lines, "websocket")
}

// detached reports whether the connection of r can outlive its handler. On
// HTTP/1.1 it can; a stream of HTTP/2 or HTTP/3 ends with its handler.
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
