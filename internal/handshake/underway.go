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

// ErrExiting says that the process exits.
var ErrExiting = errors.New("the server is shutting down")

// Stopped is the cause of a handshake's end that neither its client nor its
// backend has made: the process exits, or its gate has closed.
type Stopped struct{ Why error }

// Error says why.
func (s *Stopped) Error() string { return "stopped: " + s.Why.Error() }

// Unwrap returns why.
func (s *Stopped) Unwrap() error { return s.Why }

// cutAfter is how long requests of ours, new connections and HTTP/3 servers
// have when the process exits; then their connections are closed. A tunnel is
// cut before that.
const cutAfter = 2700 * time.Millisecond

// underWay is what an exit of the process has to end.
var underWay = struct {
	sync.Mutex
	exiting bool
	// handshakes that have no answer yet, and streams of HTTP/2 and HTTP/3 that
	// carry a tunnel.
	handshakes map[*Handshake]struct{}
	// conns have not sent their first request yet, or not taken the whole answer
	// to a handshake.
	conns map[net.Conn]struct{}
	// servers of HTTP/3 that a request came through.
	servers map[weak.Pointer[http3.Server]]struct{}
}{
	handshakes: make(map[*Handshake]struct{}),
	conns:      make(map[net.Conn]struct{}),
	servers:    make(map[weak.Pointer[http3.Server]]struct{}),
}

// begin notes that a handshake is under way. Whoever looks at its gate afterwards
// misses no end.
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

// End notes that the handler is done.
func (h *Handshake) End() {
	underWay.Lock()
	delete(underWay.handshakes, h)
	underWay.Unlock()
	h.cancel(context.Canceled)
}

// seeServer notes the HTTP/3 server of a request: its connections stay until
// their clients close them, and Caddy waits for that when the process exits
// (RFC 9114 §5.2 asks clients to; not all do). On other versions it does
// nothing.
func seeServer(r *http.Request) {
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

// ConnState follows the connections of a server, which calls it for each change
// (http.Server.ConnState).
func ConnState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		underWay.Lock()
		underWay.conns[c] = struct{}{}
		underWay.Unlock()
	default: // active: a handshake notes its connection again
		underWay.Lock()
		delete(underWay.conns, c)
		underWay.Unlock()
	}
}

// Exit ends what is under way because the process exits: backends are waited
// for no longer, at once, and the client gets its answer; what is left after
// 2.7 s, because somebody does not read or has not sent its whole request, is
// closed. It returns at once. Calling it again does nothing.
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

// Stop ends the handshakes that are under way at a gate: their backends are
// waited for no longer. It returns at once.
func Stop(gate string, why error) {
	underWay.Lock()
	defer underWay.Unlock()
	for p := range underWay.handshakes {
		if p.gate == gate {
			p.cancel(&Stopped{why})
		}
	}
}

// cutAll closes what is left. Closing may take a while, so nothing is held.
func cutAll() {
	underWay.Lock()
	defer underWay.Unlock()
	for c := range underWay.conns {
		go func() { _ = raw(c).Close() }()
	}
	for key := range underWay.servers {
		if s := key.Value(); s != nil {
			go func() { _ = s.Close() }()
		}
	}
}

// raw is the connection beneath TLS, whose own end would be written to a peer
// that may not read.
func raw(c net.Conn) net.Conn {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return c
}
