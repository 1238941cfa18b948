package upstream

import (
	"net/http"
	"time"
)

// hintLimit is how long a client may take to read an answer before the final
// one.
const hintLimit = 3 * time.Second

// limitHintTime returns a writer that waits at most 3 s for a client to read a
// 1xx answer.
func limitHintTime(w http.ResponseWriter) http.ResponseWriter { return hintWriter{w} }

type hintWriter struct{ http.ResponseWriter }

// Unwrap returns the inner writer, for http.ResponseController.
func (h hintWriter) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// WriteHeader limits the time of a 1xx answer. It also removes the fields that
// name a server, as wsgate does for a 101. If the client does not read the
// answer in time, its connection ends.
func (h hintWriter) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		h.ResponseWriter.WriteHeader(status)
		return
	}
	for _, name := range []string{"Server", "X-Powered-By"} {
		delete(h.Header(), name)
	}
	control := http.NewResponseController(h.ResponseWriter)
	_ = control.SetWriteDeadline(time.Now().Add(hintLimit)) // a writer without deadlines is not a network connection
	h.ResponseWriter.WriteHeader(status)
	_ = control.SetWriteDeadline(time.Time{})
}

// hideStop is a writer that drops reverse_proxy's answer if wsgate has stopped
// reverse_proxy. wsgate stops it as if the client had left.
type hideStop struct {
	http.ResponseWriter
	attempt *attempt
}

// Unwrap returns the inner writer, for http.ResponseController.
func (m hideStop) Unwrap() http.ResponseWriter { return m.ResponseWriter }

// WriteHeader drops the status for a client that left, if the handshake was
// stopped. The caller knows the reason, and answers.
func (m hideStop) WriteHeader(status int) {
	if status != statusClientGone || !m.attempt.stopped() {
		m.ResponseWriter.WriteHeader(status)
	}
}

// accepts reports whether a status accepts a WebSocket on a stream of HTTP/2
// or HTTP/3, where there is no 101 (RFC 8441 §5).
func accepts(status int) bool { return status >= 200 && status < 300 }

// neverAccepts is a writer that never accepts a stream. It sends 502 instead of
// a status that would accept.
type neverAccepts struct {
	http.ResponseWriter
	begun bool // the final answer has begun
}

// Unwrap returns the inner writer, for http.ResponseController.
func (r *neverAccepts) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// WriteHeader passes on any status that does not accept.
func (r *neverAccepts) WriteHeader(status int) {
	if accepts(status) {
		status = http.StatusBadGateway
	}
	r.begun = r.begun || status >= 200
	r.ResponseWriter.WriteHeader(status)
}

// sendStatus sends the refusal, if nothing was sent before.
func (r *neverAccepts) sendStatus() {
	if !r.begun {
		r.WriteHeader(http.StatusBadGateway)
	}
}

// Write writes a part of the body. The status goes out before the first part.
func (r *neverAccepts) Write(b []byte) (int, error) {
	r.sendStatus()
	return r.ResponseWriter.Write(b)
}

// FlushError flushes what was written, with the status before it.
func (r *neverAccepts) FlushError() error {
	r.sendStatus()
	return http.NewResponseController(r.ResponseWriter).Flush()
}
