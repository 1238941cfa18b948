package handshake

import (
	"context"
	"net"
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

// Accept sends the answer that accepts the handshake, and takes the connection.
// header has the fields of the backend's answer; fields that earlier handlers
// have set stay. On HTTP/1.1 the answer is 101 and the innermost connection is
// hijacked; early is what the client sent right after its handshake. On HTTP/2
// and HTTP/3 the answer is 200 and the connection is the stream, which ends
// when its handler returns. A client has 3 s to read the answer. After an error
// no answer can be sent any more.
func (h *Handshake) Accept(header http.Header) (conn net.Conn, early []byte, err error) {
	return take(h.Writer, h.Request, header)
}
