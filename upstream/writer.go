package upstream

import (
	"net/http"
	"time"
)

// hintPatience is how long a client may take to take an answer before the
// final one.
const hintPatience = 3 * time.Second

// patient returns a writer whose 1xx answers do not wait for a client that
// does not read.
func patient(w http.ResponseWriter) http.ResponseWriter { return hinting{w} }

type hinting struct{ http.ResponseWriter }

// Unwrap gives http.ResponseController the writer below.
func (h hinting) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// WriteHeader bounds the time of a 1xx answer, which names servers as little as
// the 101 does. One that is not taken ends the client's connection.
func (h hinting) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		h.ResponseWriter.WriteHeader(status)
		return
	}
	for _, name := range []string{"Server", "X-Powered-By"} {
		delete(h.Header(), name)
	}
	control := http.NewResponseController(h.ResponseWriter)
	_ = control.SetWriteDeadline(time.Now().Add(hintPatience)) // a writer that cannot is none of a network
	h.ResponseWriter.WriteHeader(status)
	_ = control.SetWriteDeadline(time.Time{})
}

// mute is a writer on which reverse_proxy does not say that the client has
// left, where it was told so only to make it stop.
type mute struct {
	http.ResponseWriter
	attempt *attempt
}

// Unwrap gives http.ResponseController the writer below.
func (m mute) Unwrap() http.ResponseWriter { return m.ResponseWriter }

// WriteHeader leaves the answer to a handshake that was stopped to whoever knows
// why.
func (m mute) WriteHeader(status int) {
	if status != statusClientGone || !m.attempt.stopped() {
		m.ResponseWriter.WriteHeader(status)
	}
}

// accepts reports whether a status accepts a WebSocket on a stream of HTTP/2
// or HTTP/3, where there is no 101 (RFC 8441 §5).
func accepts(status int) bool { return status >= 200 && status < 300 }

// refusing is a writer on which no stream is accepted, whoever answers: the
// status is 502 then.
type refusing struct {
	http.ResponseWriter
	begun bool // the final answer is
}

// Unwrap gives http.ResponseController the writer below.
func (r *refusing) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// WriteHeader lets any other status pass.
func (r *refusing) WriteHeader(status int) {
	if accepts(status) {
		status = http.StatusBadGateway
	}
	r.begun = r.begun || status >= 200
	r.ResponseWriter.WriteHeader(status)
}

// begin says no, if nobody has said anything.
func (r *refusing) begin() {
	if !r.begun {
		r.WriteHeader(http.StatusBadGateway)
	}
}

// Write writes a part of the body, whose first one brings the status.
func (r *refusing) Write(b []byte) (int, error) {
	r.begin()
	return r.ResponseWriter.Write(b)
}

// FlushError sends what was written, and the status before it.
func (r *refusing) FlushError() error {
	r.begin()
	return http.NewResponseController(r.ResponseWriter).Flush()
}
