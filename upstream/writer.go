package upstream

import (
	"net/http"
	"time"
)

// hintPatience is how long a client may take to read an answer before the final
// one.
const hintPatience = 3 * time.Second

// patient returns a writer whose 1xx answers do not wait for a client that does
// not read.
func patient(w http.ResponseWriter) http.ResponseWriter { return hinting{w} }

type hinting struct{ http.ResponseWriter }

// Unwrap returns the inner writer, for http.ResponseController.
func (h hinting) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// WriteHeader limits the time of a 1xx answer, and removes the same fields
// about servers as from a 101. If the client does not read it in time, its
// connection ends.
func (h hinting) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		h.ResponseWriter.WriteHeader(status)
		return
	}
	for _, name := range []string{"Server", "X-Powered-By"} {
		delete(h.Header(), name)
	}
	control := http.NewResponseController(h.ResponseWriter)
	_ = control.SetWriteDeadline(time.Now().Add(hintPatience)) // a writer without deadlines is not a network connection
	h.ResponseWriter.WriteHeader(status)
	_ = control.SetWriteDeadline(time.Time{})
}

// mute is a writer that does not let reverse_proxy report a client that left,
// if wsgate made that up only to stop reverse_proxy.
type mute struct {
	http.ResponseWriter
	attempt *attempt
}

// Unwrap returns the inner writer, for http.ResponseController.
func (m mute) Unwrap() http.ResponseWriter { return m.ResponseWriter }

// WriteHeader drops the answer to a handshake that was stopped. The caller
// knows the reason, and answers.
func (m mute) WriteHeader(status int) {
	if status != statusClientGone || !m.attempt.stopped() {
		m.ResponseWriter.WriteHeader(status)
	}
}

// accepts reports whether a status accepts a WebSocket on a stream of HTTP/2
// or HTTP/3, where there is no 101 (RFC 8441 §5).
func accepts(status int) bool { return status >= 200 && status < 300 }

// refusing is a writer that never accepts a stream. It sends 502 instead of a
// status that would accept.
type refusing struct {
	http.ResponseWriter
	begun bool // the final answer has begun
}

// Unwrap returns the inner writer, for http.ResponseController.
func (r *refusing) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// WriteHeader passes on any status that does not accept.
func (r *refusing) WriteHeader(status int) {
	if accepts(status) {
		status = http.StatusBadGateway
	}
	r.begun = r.begun || status >= 200
	r.ResponseWriter.WriteHeader(status)
}

// begin sends the refusal, if nothing was sent before.
func (r *refusing) begin() {
	if !r.begun {
		r.WriteHeader(http.StatusBadGateway)
	}
}

// Write writes a part of the body. The status goes out before the first part.
func (r *refusing) Write(b []byte) (int, error) {
	r.begin()
	return r.ResponseWriter.Write(b)
}

// FlushError flushes what was written, with the status before it.
func (r *refusing) FlushError() error {
	r.begin()
	return http.NewResponseController(r.ResponseWriter).Flush()
}
