package tunnel

import (
	"crypto/rand"
	"encoding/binary"
	"strings"
	"time"
	"unicode/utf8"
)

// By says who ended a tunnel.
type By string

const (
	// ByClient means that the client sent the first close frame or FIN.
	ByClient By = "client"
	// ByUpstream means that the upstream did.
	ByUpstream By = "upstream"
	// ByGate is given to Close by a gate that closes by its rules.
	ByGate By = "gate"
	// ByOperator is given to Close when an operator closed the gate.
	ByOperator By = "operator"
	// ByLimit is given to Close when a limit was reached.
	ByLimit By = "limit"
	// ByShutdown is given to Close when the process exits.
	ByShutdown By = "shutdown"
	// ByError means that a connection broke.
	ByError By = "error"
)

// Close codes (RFC 6455 §7.4.1, and its registry at IANA).
const (
	codeNoStatus   = 1005 // stands for a close frame without a code
	codeGoingAway  = 1001
	codeBadGateway = 1014
)

// maxReason is what a close frame has room for besides its code.
const maxReason = maxControl - 2

// Closing is how a tunnel is to end.
type Closing struct {
	// By is said in the [Result].
	By By
	// Code and Reason go into the close frames. A reason that is too long is
	// cut at a character.
	Code   uint16
	Reason string
	// Deadline after which the connections are cut, answered or not.
	Deadline time.Time
}

// ValidCloseCode reports whether a code may stand in a close frame (RFC 6455
// §7.4): 1000-1003, 1007-1014, 3000-4999. 1005, 1006 and 1015 never go on the
// wire, the others up to 2999 are reserved.
func ValidCloseCode(code int) bool {
	return code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 || code >= 3000 && code <= 4999
}

// TrimReason returns s as a close frame can carry it: at most 123 bytes, cut at
// a character, what is no UTF-8 replaced (RFC 6455 §5.5.1).
func TrimReason(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxReason {
		return s
	}
	n := maxReason
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// closeFrame returns a whole close frame, masked with a random key where it
// goes to a server (RFC 6455 §5.3).
func closeFrame(code uint16, reason string, masked bool) []byte {
	payload := binary.BigEndian.AppendUint16(make([]byte, 0, maxControl), code)
	payload = append(payload, TrimReason(reason)...)
	frame := append(make([]byte, 0, maxHeader+maxControl), finBit|opClose, byte(len(payload)))
	if masked {
		var key [maskKeySize]byte
		_, _ = rand.Read(key[:]) // never fails
		frame[1] |= maskBit
		frame = append(frame, key[:]...)
		mask(payload, key)
	}
	return append(frame, payload...)
}

// mask masks or unmasks a payload in place.
func mask(p []byte, key [maskKeySize]byte) {
	for i := range p {
		p[i] ^= key[i%maskKeySize]
	}
}

// parseClose reads the payload of a close frame. No code: 1005. A reason that
// is no UTF-8 is dropped.
func parseClose(payload []byte) (code uint16, reason string) {
	if len(payload) < 2 {
		return codeNoStatus, ""
	}
	if text := payload[2:]; utf8.Valid(text) {
		reason = string(text)
	}
	return binary.BigEndian.Uint16(payload), reason
}
