package handshake

import (
	"context"
	"errors"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"
	"weak"

	"github.com/quic-go/quic-go/http3"
)

// ErrExiting is the reason for a [Stopped] when the process exits.
var ErrExiting = errors.New("the server is shutting down")

// Stopped is the error of a handshake that neither its client nor its backend
// ended: the process exits, or its gate has closed.
type Stopped struct{ Cause error }

// Error returns the reason.
func (s *Stopped) Error() string { return "stopped: " + s.Cause.Error() }

// Unwrap returns the reason.
func (s *Stopped) Unwrap() error { return s.Cause }

// cutAfter is how long our requests, new connections and HTTP/3 servers have
// when the process exits. Then their connections are closed. A tunnel is cut
// before that.
const cutAfter = 2700 * time.Millisecond

// underWay is what must end when the process exits, of all configurations.
var underWay = struct {
	sync.Mutex
	exiting bool
	// handshakes that have no answer yet, and streams of HTTP/2 and HTTP/3 that
	// carry a tunnel.
	handshakes map[*Handshake]struct{}
	// conns that have not yet sent their first request, or not read the whole
	// answer to a handshake.
	conns map[net.Conn]struct{}
	// servers of HTTP/3 that a request came through.
	servers map[weak.Pointer[http3.Server]]struct{}
}{
	handshakes: make(map[*Handshake]struct{}),
	conns:      make(map[net.Conn]struct{}),
	servers:    make(map[weak.Pointer[http3.Server]]struct{}),
}

// begin registers the handshake as under way. After it, a change of the gate
// cannot be missed: the caller sees it, or [Stop] ends the handshake.
func (h *Handshake) begin(r *http.Request) {
	ctx, cancel := context.WithCancelCause(r.Context())
	h.Request, h.cancel = r.WithContext(ctx), cancel
	underWay.Lock()
	defer underWay.Unlock()
	underWay.handshakes[h] = struct{}{}
	if c, ok := ctx.Value(connKey{}).(net.Conn); ok {
		underWay.conns[c] = struct{}{}
	}
	if h.Exiting = underWay.exiting; h.Exiting {
		cancel(&Stopped{ErrExiting})
	}
}

// End removes the handshake: its handler is done.
func (h *Handshake) End() {
	underWay.Lock()
	delete(underWay.handshakes, h)
	underWay.Unlock()
	h.cancel(context.Canceled)
}

// trackServer registers the HTTP/3 server of a request. Its connections stay
// until their clients close them, and Caddy waits for that when the process
// exits (RFC 9114 §5.2 asks clients to close; not all do). On other HTTP
// versions it does nothing.
func trackServer(r *http.Request) {
	if r.ProtoMajor != 3 {
		return
	}
	server, ok := r.Context().Value(http3.ServerContextKey).(*http3.Server)
	if !ok {
		return
	}
	key := weak.Make(server)
	underWay.Lock()
	defer underWay.Unlock()
	if _, seen := underWay.servers[key]; seen {
		return
	}
	underWay.servers[key] = struct{}{}
	runtime.AddCleanup(server, func(key weak.Pointer[http3.Server]) {
		underWay.Lock()
		defer underWay.Unlock()
		delete(underWay.servers, key)
	}, key)
}

// ConnState tracks the connections of a server. The server must call it for
// each change (http.Server.ConnState).
func ConnState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		underWay.Lock()
		underWay.conns[c] = struct{}{}
		underWay.Unlock()
	default: // active: begin registers the connection again
		underWay.Lock()
		delete(underWay.conns, c)
		underWay.Unlock()
	}
}

// Exit ends everything under way because the process exits. It stops waiting
// for backends at once, and the clients get their answers. After 2.7 s it
// closes the connections that are left: their clients do not read, or have not
// sent a whole request. It returns at once. Calling it again does nothing.
func Exit() {
	underWay.Lock()
	defer underWay.Unlock()
	if underWay.exiting {
		return
	}
	underWay.exiting = true
	for p := range underWay.handshakes {
		p.cancel(&Stopped{ErrExiting})
	}
	time.AfterFunc(cutAfter, cutAll)
}

// Stop ends the handshakes that are under way at a gate: it stops waiting for
// their backends. It returns at once.
func Stop(gate string, why error) {
	underWay.Lock()
	defer underWay.Unlock()
	for p := range underWay.handshakes {
		if p.gate == gate {
			p.cancel(&Stopped{why})
		}
	}
}

// cutAll closes what is left. A close may take a while, so each runs without
// the lock.
func cutAll() {
	underWay.Lock()
	defer underWay.Unlock()
	for c := range underWay.conns {
		go func() { _ = beneathTLS(c).Close() }()
	}
	for key := range underWay.servers {
		if s := key.Value(); s != nil {
			go func() { _ = s.Close() }()
		}
	}
}

// beneathTLS returns the connection beneath TLS. Closing TLS itself would write
// to a peer that may not read.
func beneathTLS(c net.Conn) net.Conn {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return c
}
