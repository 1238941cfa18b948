package handshake

import (
	"crypto/sha1" //nolint:gosec // RFC 6455 §4.2.2 asks for it
	"encoding/base64"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Malformed is the error for a request that asks for a WebSocket but breaks a
// rule.
type Malformed struct {
	// Status is 400, or 426 for a version that is not 13.
	Status int
	// Reason says what is wrong.
	Reason string
	// Header has fields for the answer.
	Header http.Header
}

// Error returns the reason.
func (e *Malformed) Error() string { return "malformed handshake: " + e.Reason }

func malformed(reason string) error { return &Malformed{Status: http.StatusBadRequest, Reason: reason} }

// Check returns a [*Malformed] error if a request that [Is] a handshake breaks
// a rule of RFC 6455 §4.2.1, RFC 8441 §5 or RFC 9220 §3. A request that passes
// can go to a backend: it cannot open a pipe for another protocol.
func Check(r *http.Request) error {
	if r.ProtoMajor < 2 {
		if err := checkUpgrade(r); err != nil {
			return err
		}
	} else if protocol(r) != "websocket" {
		return malformed("CONNECT opens a pipe, and is for the protocol websocket alone")
	} else if r.Method != http.MethodConnect {
		return malformed("a handler in front has made another method of CONNECT")
	} else if _, err := streamBody(r); err != nil {
		return err
	}
	version := r.Header["Sec-Websocket-Version"]
	switch {
	case len(version) == 0 && r.ProtoMajor < 2, len(version) > 1:
		return upgradeRequired(r, "want exactly one Sec-WebSocket-Version")
	case len(version) == 1 && version[0] != "13":
		return upgradeRequired(r, "Sec-WebSocket-Version is not 13")
	}
	offers := 0
	for range tokens(r.Header["Sec-Websocket-Extensions"]) {
		if offers++; offers > maxOffers {
			return malformed("more than 100 extensions")
		}
	}
	return checkProtocols(r.Header["Sec-Websocket-Protocol"])
}

// maxOffers is how many subprotocols, and how many extensions, a client may
// offer. Browsers offer one extension; subprotocols are a few.
const maxOffers = 100

// upgradeRequired returns the error that names the only supported version (RFC
// 6455 §4.2.2), and on HTTP/1.1 the protocol (RFC 9110 §15.5.22).
func upgradeRequired(r *http.Request, reason string) error {
	h := http.Header{"Sec-WebSocket-Version": {"13"}}
	if r.ProtoMajor < 2 {
		h["Upgrade"], h["Connection"] = []string{"websocket"}, []string{"Upgrade"}
	}
	return &Malformed{Status: http.StatusUpgradeRequired, Reason: reason, Header: h}
}

// checkUpgrade checks the parts that only HTTP/1.1 has.
func checkUpgrade(r *http.Request) error {
	if !r.ProtoAtLeast(1, 1) {
		return malformed("HTTP/1.1 or newer is required")
	}
	if r.Method != http.MethodGet {
		return malformed("the method must be GET")
	}
	if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
		return malformed("a handshake has no body")
	}
	if !websocketAlone(r.Header["Upgrade"]) {
		return malformed("Upgrade must name websocket and nothing else")
	}
	if !httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade") {
		return malformed("Connection must name upgrade")
	}
	if err := checkConnection(r); err != nil {
		return err
	}
	keys := r.Header["Sec-Websocket-Key"]
	if len(keys) != 1 {
		return malformed("want exactly one Sec-WebSocket-Key")
	}
	// Four bits of the last character have no meaning, and may have any value:
	// the key in RFC 6455 §4.1 has some of them set.
	if raw, err := base64.StdEncoding.DecodeString(keys[0]); err != nil || len(raw) != 16 || len(keys[0]) != 24 {
		return malformed("Sec-WebSocket-Key must be 16 bytes in base64")
	}
	return nil
}

// checkConnection refuses a Connection header that names a field of the request
// which is not hop-by-hop (RFC 9110 §7.6.1). The field would be removed on the
// way. So the client could remove one that a handler in front has set, or one
// that the backend checks.
func checkConnection(r *http.Request) error {
	for option := range tokens(r.Header["Connection"]) {
		if !httpguts.ValidHeaderFieldName(option) {
			return malformed("Connection: not a token")
		}
		name := http.CanonicalHeaderKey(option)
		if _, there := r.Header[name]; there && !isHopByHop(name) || mustReachBackend(name) {
			return malformed("Connection must not name " + name + ", which is for the backend, too")
		}
	}
	return nil
}

// isHopByHop reports whether a field is hop-by-hop.
func isHopByHop(name string) bool {
	switch name {
	case "Connection", "Upgrade", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Http2-Settings", "Close",
		"Proxy-Authenticate", "Proxy-Authorization":
		return true
	}
	return false
}

// mustReachBackend reports whether a field must reach the backend: it belongs
// to the handshake, or says who the client is. The request may not have the
// field yet, because a handler adds it on the way.
func mustReachBackend(name string) bool {
	switch name {
	case "Host", "Origin", "Cookie", "Authorization", "Forwarded", "Via", "X-Real-Ip", "Content-Length":
		return true
	}
	return strings.HasPrefix(name, "Sec-") || strings.HasPrefix(name, "X-Forwarded-")
}

// websocketAlone reports whether an Upgrade header names websocket exactly
// once, and nothing else.
func websocketAlone(lines []string) bool {
	names := 0
	for range tokens(lines) {
		names++
	}
	return names == 1 && namesWebsocket(lines)
}

// checkProtocols refuses an invalid list of subprotocols (RFC 6455 §4.1).
func checkProtocols(lines []string) error {
	seen := make(map[string]bool)
	for name := range tokens(lines) {
		if !httpguts.ValidHeaderFieldName(name) {
			return malformed("Sec-WebSocket-Protocol: not a token")
		}
		if len(seen) == maxOffers {
			return malformed("more than 100 subprotocols")
		}
		if seen[name] {
			return malformed("Sec-WebSocket-Protocol: named twice")
		}
		seen[name] = true
	}
	return nil
}

// AcceptKey returns the Sec-WebSocket-Accept for a key (RFC 6455 §4.2.2).
func AcceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // RFC 6455
	return base64.StdEncoding.EncodeToString(sum[:])
}

// CheckAnswer returns a [*FalseClaim] error if a backend's 101 does not match
// the request (RFC 6455 §4.1).
func CheckAnswer(asked, answered http.Header, key string) error {
	if !websocketAlone(answered["Upgrade"]) {
		return &FalseClaim{"Upgrade does not name websocket alone"}
	}
	if !httpguts.HeaderValuesContainsToken(answered["Connection"], "upgrade") {
		return &FalseClaim{"Connection does not name upgrade"}
	}
	for option := range tokens(answered["Connection"]) {
		if name := http.CanonicalHeaderKey(option); !httpguts.ValidHeaderFieldName(option) || strings.HasPrefix(name, "Sec-") {
			return &FalseClaim{"Connection names a field of the handshake, or no field"}
		}
	}
	if accept := answered["Sec-Websocket-Accept"]; len(accept) != 1 || accept[0] != AcceptKey(key) {
		return &FalseClaim{"Sec-WebSocket-Accept is wrong or missing"}
	}
	if protocol := answered["Sec-Websocket-Protocol"]; len(protocol) > 0 {
		if len(protocol) > 1 || !offered(asked, "Sec-WebSocket-Protocol", protocol[0]) {
			return &FalseClaim{"the subprotocol was not asked for"}
		}
	}
	return checkChosenExtensions(asked, answered["Sec-Websocket-Extensions"])
}

// checkChosenExtensions checks the extensions that a backend has chosen. Both
// lists may be long, so each is read only once.
func checkChosenExtensions(asked http.Header, chosen []string) error {
	if len(chosen) == 0 {
		return nil
	}
	offers := make(map[string]int) // a client may offer an extension several times, with other parameters
	for _, key := range spellings("Sec-WebSocket-Extensions") {
		for offer := range tokens(asked[key]) {
			offers[extensionName(offer)]++
		}
	}
	for element := range tokens(chosen) {
		name := extensionName(element)
		if name == "" || offers[name] == 0 {
			return &FalseClaim{"an extension was not asked for, or not so often"}
		}
		offers[name]--
	}
	return nil
}

// FalseClaim is the error for a backend's 101 that does not match its
// handshake.
type FalseClaim struct {
	// Reason says which claim is false, in our own words, because a backend's
	// text may be anything.
	Reason string
}

// Error returns the reason.
func (e *FalseClaim) Error() string { return "backend's 101 is invalid: " + e.Reason }

// offered reports whether a list header of the request has an element.
func offered(asked http.Header, header, element string) bool {
	for _, key := range spellings(header) {
		for offer := range tokens(asked[key]) {
			if offer == element {
				return true
			}
		}
	}
	return false
}

// spellings returns the keys that a field may have: Caddy uses the spelling of
// RFC 6455, net/http its own.
func spellings(header string) [2]string {
	return [2]string{header, http.CanonicalHeaderKey(header)}
}

// extensionName returns an extension's name without its parameters (RFC 6455
// §9.1).
func extensionName(element string) string {
	name, _, _ := strings.Cut(element, ";")
	return strings.Trim(name, " \t")
}
