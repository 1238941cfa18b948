package handshake

import (
	"context"
	"net/http"
)

// Handshake is an opening handshake while its handler runs.
type Handshake struct {
	// Request is the request to go on with. Its context ends with a [*Stopped]
	// as the cause if the process exits or the gate closes.
	Request *http.Request
	// Writer is the writer for the answer. On HTTP/2 and HTTP/3 no intercept
	// handler sees the answer, because its routes may have another copy of the
	// request.
	Writer http.ResponseWriter
	// Detached reports whether the connection can outlive its handler. On
	// HTTP/1.1 it can; a stream of HTTP/2 or HTTP/3 ends with its handler.
	Detached bool
	// Exiting reports whether the process was already exiting when the
	// handshake came.
	Exiting bool
	// Malformed is a [*Malformed] that says what is wrong with the handshake.
	// Nil: nothing is.
	Malformed error

	gate   string
	cancel context.CancelCauseFunc
}

// Enter returns the handshake of a request that asks for a WebSocket at a gate
// ([Is]). Nil: the request does not. It tracks the connection until [ConnState]
// reports that it is idle, closed or hijacked. Call [Handshake.End] when the
// handler is done.
func Enter(w http.ResponseWriter, r *http.Request, gate string) *Handshake {
	trackServer(r)
	if !Is(r) {
		return nil
	}
	h := &Handshake{gate: gate, Writer: w, Detached: detached(r), Malformed: Check(r)}
	if !h.Detached {
		h.Writer = BypassIntercept(w)
	}
	h.begin(r)
	return h
}
