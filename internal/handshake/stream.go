package handshake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// forever replaces Caddy's idle deadline on streams, which would end a tunnel
// that carries nothing for a minute; what idle means is the tunnel's affair.
const forever = 100 * 365 * 24 * time.Hour

// stream is an HTTP/2 or HTTP/3 stream as a connection: what the client sends
// is the request's body, what it gets is the response's.
type stream struct {
	body    io.ReadCloser
	w       http.ResponseWriter
	control *http.ResponseController
	writes  *http.ResponseController // of write deadlines
	local   net.Addr
	remote  net.Addr
	restore []func()
	beneath net.Conn // of HTTP/2; nil: unknown, and deadlines hold without it

	writing sync.Mutex // held while the response is written
	once    sync.Once
	closed  chan struct{}

	mu    sync.Mutex  // guards the fields below
	guard *time.Timer // of the write deadline
	over  bool        // the handler may return: its writer must not be touched any more
}

// guardGrace is how long a write may outlast its deadline before the connection
// beneath it is closed.
const guardGrace = 500 * time.Millisecond

// takeStream answers 200 and returns the stream of an extended CONNECT.
func takeStream(w http.ResponseWriter, r *http.Request) (net.Conn, error) {
	h := w.Header()
	for _, name := range []string{"Connection", "Upgrade", "Sec-Websocket-Accept"} {
		delete(h, name)
	}
	delete(h, "Sec-WebSocket-Accept") //nolint:canonicalheader // as upstreams spell it
	body, err := streamBody(r)
	if err != nil {
		return nil, err // Check has refused it
	}
	s := &stream{
		body: body, w: w, control: http.NewResponseController(w), writes: http.NewResponseController(w),
		remote: address(r.RemoteAddr), closed: make(chan struct{}),
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		s.local = local
	} else {
		s.local = address("")
	}
	s.lift(r)
	if r.ProtoMajor == 2 {
		s.beneath, _ = r.Context().Value(connKey{}).(net.Conn)
	}
	if err := s.answer(); err != nil {
		return nil, errors.Join(fmt.Errorf("answering the handshake: %w", err), s.Close())
	}
	return s, nil
}

// streamBody returns what a client sends in a stream, without the limits that
// handlers in front have put around it (request_body): a tunnel is no request
// body, and would be cut in the middle of a frame. Caddy shows its own reader
// where idle timeouts are on; where they are off, a limit cannot be taken off,
// and the handshake has to be refused.
func streamBody(r *http.Request) (io.ReadCloser, error) {
	body := r.Body
	if t := reflect.TypeOf(body); t != nil && t.PkgPath() == "io" {
		return nil, &Malformed{
			Status: http.StatusInternalServerError,
			Reason: "a handler in front (request_body set) has replaced the request's body, and a tunnel needs it: leave handshakes out there (not ws_handshake)",
		}
	}
	if reader, _ := caddyhttp.IdleTimeoutsFromContext(r.Context()); reader != nil {
		body = reader
	}
	inner := body
	for {
		reader, ok := inner.(*caddyhttp.IdleTimeoutReader)
		if !ok {
			break
		}
		inner = reader.ReadCloser
	}
	if !ofServer(inner) {
		return nil, &Malformed{
			Status: http.StatusInternalServerError,
			Reason: "a handler in front (request_body) limits the request's body, which would cut the tunnel: leave handshakes out there (not ws_handshake), or leave the server's read_body_idle on",
		}
	}
	return body, nil
}

// ofServer reports whether a body is the server's own: net/http's, quic-go's, or
// Caddy's that counts for its access log.
func ofServer(body io.ReadCloser) bool {
	t := reflect.TypeOf(body)
	if t == nil {
		return true
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.PkgPath() {
	case "golang.org/x/net/http2", "github.com/quic-go/quic-go/http3", "github.com/caddyserver/caddy/v2/modules/caddyhttp":
		return true
	case "net/http":
		return t.Name() != "maxBytesReader"
	}
	return false
}

// lift takes the server's timeouts off the stream: they are about a request and
// its answer. Override keeps HardDeadline, which is read_body or write.
func (s *stream) lift(r *http.Request) {
	reader, writer := caddyhttp.IdleTimeoutsFromContext(r.Context())
	if reader != nil {
		reader.Deadline.HardDeadline = time.Time{}
		s.restore = append(s.restore, reader.Override(forever, 0))
	}
	if writer != nil {
		writer.Deadline.HardDeadline = time.Time{}
		s.restore = append(s.restore, writer.Override(forever, 0, 0), s.ownWrites(writer))
	}
	_ = s.control.SetReadDeadline(time.Time{}) // HTTP/2 has armed read_body by itself; answer does the same to write
}

// ownWrites keeps Caddy's idle timeouts from setting write deadlines, until the
// returned function is called: they do so at each write, without a lock, and a
// tunnel sets its own from another goroutine.
func (s *stream) ownWrites(writer *caddyhttp.IdleTimeoutWriter) (giveBack func()) {
	s.writes = writer.Ctrl
	writer.Ctrl = http.NewResponseController(undated{writer.ResponseWriter})
	return func() { writer.Ctrl = s.writes }
}

// undated is a writer whose write deadlines are set by others.
type undated struct{ http.ResponseWriter }

func (undated) SetWriteDeadline(time.Time) error { return nil }

// connKey finds the connection that a request came over in its context.
type connKey struct{}

// ConnContext keeps a connection for the requests that come over it. A server
// calls it for each (http.Server.ConnContext).
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if ctx.Value(connKey{}) != nil {
		return ctx // several handlers of one server ask for it
	}
	return context.WithValue(ctx, connKey{}, c)
}

// answer says 200.
func (s *stream) answer() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	_ = s.SetWriteDeadline(time.Now().Add(answerPatience))
	s.w.WriteHeader(http.StatusOK)
	err := s.control.Flush()
	_ = s.SetWriteDeadline(time.Time{})
	return err
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	if err != nil && s.gone() {
		err = net.ErrClosed
	}
	return n, err
}

// Write sends p at once: a frame that waits in a buffer is no frame.
func (s *stream) Write(p []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.gone() {
		return 0, net.ErrClosed
	}
	n, err := s.w.Write(p)
	if err != nil {
		return n, err
	}
	return n, s.control.Flush()
}

// Close ends reads, and writes once the one under way is done, which has until
// its deadline. The stream itself ends when its handler returns: with
// END_STREAM, unless a write deadline has reset it.
func (s *stream) Close() error {
	s.once.Do(func() {
		close(s.closed)
		_ = s.SetReadDeadline(time.Unix(1, 0))
		s.writing.Lock() // whoever writes is done
		defer s.writing.Unlock()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.watch(time.Time{})
		for _, restore := range slices.Backward(s.restore) {
			restore()
		}
		s.over = true
	})
	return nil
}

func (s *stream) gone() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

func (s *stream) LocalAddr() net.Addr  { return s.local }
func (s *stream) RemoteAddr() net.Addr { return s.remote }

func (s *stream) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

// SetReadDeadline has a read end at a moment; zero: none. After Close it does
// nothing: a tunnel that is being cut may still want to hurry, and the handler
// has returned meanwhile.
func (s *stream) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return net.ErrClosed
	}
	return s.control.SetReadDeadline(t)
}

// SetWriteDeadline has a write end at a moment; zero: none. On HTTP/2 a deadline
// that passes resets the stream, which does not help where the client reads
// nothing of its whole connection: then the connection is closed. After Close it
// does nothing.
func (s *stream) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return net.ErrClosed
	}
	s.watch(t)
	return s.writes.SetWriteDeadline(t)
}

// watch looks after a write deadline. s.mu is held.
func (s *stream) watch(t time.Time) {
	if s.guard != nil {
		s.guard.Stop()
		s.guard = nil
	}
	if s.beneath != nil && !t.IsZero() {
		s.guard = time.AfterFunc(time.Until(t)+guardGrace, s.breakOff)
	}
}

// breakOff closes the connection beneath a write that outlasts its deadline.
func (s *stream) breakOff() {
	if s.writing.TryLock() {
		s.writing.Unlock()
		return
	}
	_ = s.beneath.Close() // it was of no use to anybody
}

// address is a textual address of a stream.
type address string

func (address) Network() string  { return "stream" }
func (a address) String() string { return string(a) }

// Interface guard
var _ net.Conn = (*stream)(nil)
