package handshake

import (
	"context"
	"net"
	"net/http"
)

// Handshake is an opening handshake in its handler.
type Handshake struct {
	// Request to go on with: its context ends with a [*Stopped] as the cause when
	// the process exits or the gate closes.
	Request *http.Request
	// Writer of the answer. On HTTP/2 and HTTP/3 no intercept handler sees it: its
	// routes may hold another copy of the request.
	Writer http.ResponseWriter
	// Detached reports whether the connection can leave its handler: on HTTP/1.1
	// it can, a stream of HTTP/2 or HTTP/3 lives as long as its handler.
	Detached bool
	// Exiting reports whether the process was about to exit when it came.
	Exiting bool
	// Malformed says what is wrong with it, as a [*Malformed]. Nil: nothing is.
	Malformed error

	gate   string
	cancel context.CancelCauseFunc
}

// Enter takes a request into its handler if it asks for a WebSocket at a gate
// ([Is]); nil: it does not. Its connection is looked after until [ConnState] says
// that it is idle, closed or taken. Call [Handshake.End] when the handler is done.
func Enter(w http.ResponseWriter, r *http.Request, gate string) *Handshake {
	seeServer(r)
	if !Is(r) {
		return nil
	}
	h := &Handshake{gate: gate, Writer: w, Detached: detached(r), Malformed: Check(r)}
	if !h.Detached {
		h.Writer = PastIntercept(w)
	}
	h.begin(r)
	return h
}

// Accept says yes to the client, and takes its connection. header is what the
// backend's answer brings; what earlier handlers have set stays. On HTTP/1.1
// the answer is 101 and the innermost connection is hijacked; early is what the
// client sent behind its handshake. On HTTP/2 and HTTP/3 the answer is 200 and
// the connection is the stream, which ends when its handler returns. A client
// that does not read its answer has 3 s. After an error nothing can be answered
// any more.
func (h *Handshake) Accept(header http.Header) (conn net.Conn, early []byte, err error) {
	return take(h.Writer, h.Request, header)
}
