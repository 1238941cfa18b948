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
// that is idle for a minute. The tunnel has its own idle timeout.
const forever = 100 * 365 * 24 * time.Hour

// stream is an HTTP/2 or HTTP/3 stream as a connection. It reads the request's
// body, and writes the response's body.
type stream struct {
	body    io.ReadCloser
	w       http.ResponseWriter
	control *http.ResponseController
	writes  *http.ResponseController // for write deadlines
	local   net.Addr
	remote  net.Addr
	restore []func()
	beneath net.Conn // of HTTP/2; nil: unknown, and only the stream's deadlines apply

	writing sync.Mutex // held while the response is written
	once    sync.Once
	closed  chan struct{}

	mu    sync.Mutex  // guards the fields below
	guard *time.Timer // for the write deadline
	over  bool        // the handler may return: its writer must not be used any more
}

// guardGrace is how long a write may exceed its deadline before the connection
// beneath it is closed.
const guardGrace = 500 * time.Millisecond

// acceptStream answers 200 and returns the stream of an extended CONNECT.
func acceptStream(w http.ResponseWriter, r *http.Request) (net.Conn, error) {
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
	s.removeTimeouts(r)
	if r.ProtoMajor == 2 {
		s.beneath, _ = r.Context().Value(connKey{}).(net.Conn)
	}
	if err := s.answer(); err != nil {
		return nil, errors.Join(fmt.Errorf("answering the handshake: %w", err), s.Close())
	}
	return s, nil
}

// streamBody returns the client's data in a stream, without the limits that
// handlers in front have put around it (request_body). A tunnel is not a
// request body, and such a limit would cut it in the middle of a frame. Caddy
// gives access to its own reader if idle timeouts are on. If they are off, a
// limit cannot be removed, and the handshake must be refused.
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
	if !isServerBody(inner) {
		return nil, &Malformed{
			Status: http.StatusInternalServerError,
			Reason: "a handler in front (request_body) limits the request's body, which would cut the tunnel: leave handshakes out there (not ws_handshake), or leave the server's read_body_idle on",
		}
	}
	return body, nil
}

// isServerBody reports whether a body is the server's own: that of net/http or
// quic-go, or Caddy's reader that counts bytes for the access log.
func isServerBody(body io.ReadCloser) bool {
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

// removeTimeouts removes the server's timeouts from the stream, because they
// are meant for a request and its answer. Override alone would keep
// HardDeadline, which is read_body or write.
func (s *stream) removeTimeouts(r *http.Request) {
	reader, writer := caddyhttp.IdleTimeoutsFromContext(r.Context())
	if reader != nil {
		reader.Deadline.HardDeadline = time.Time{}
		s.restore = append(s.restore, reader.Override(forever, 0))
	}
	if writer != nil {
		writer.Deadline.HardDeadline = time.Time{}
		s.restore = append(s.restore, writer.Override(forever, 0, 0), s.blockWriteDeadlines(writer))
	}
	_ = s.control.SetReadDeadline(time.Time{}) // HTTP/2 itself has set read_body; answer does the same for write
}

// blockWriteDeadlines keeps Caddy's idle timeouts from setting write deadlines,
// until the returned function is called. They would set one at each write,
// without a lock, while a tunnel sets its own from another goroutine.
func (s *stream) blockWriteDeadlines(writer *caddyhttp.IdleTimeoutWriter) (giveBack func()) {
	s.writes = writer.Ctrl
	writer.Ctrl = http.NewResponseController(withoutWriteDeadline{writer.ResponseWriter})
	return func() { writer.Ctrl = s.writes }
}

// withoutWriteDeadline is a writer that ignores write deadlines.
type withoutWriteDeadline struct{ http.ResponseWriter }

func (withoutWriteDeadline) SetWriteDeadline(time.Time) error { return nil }

// connKey is the key of a request's connection in its context.
type connKey struct{}

// ConnContext stores a connection for the requests that come over it. A server
// must call it for each connection (http.Server.ConnContext).
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if ctx.Value(connKey{}) != nil {
		return ctx // several handlers of one server register it
	}
	return context.WithValue(ctx, connKey{}, c)
}

// answer sends 200.
func (s *stream) answer() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	_ = s.SetWriteDeadline(time.Now().Add(answerLimit))
	s.w.WriteHeader(http.StatusOK)
	err := s.control.Flush()
	_ = s.SetWriteDeadline(time.Time{})
	return err
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	if err != nil && s.isClosed() {
		err = net.ErrClosed
	}
	return n, err
}

// Write sends p at once and buffers nothing.
func (s *stream) Write(p []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.isClosed() {
		return 0, net.ErrClosed
	}
	n, err := s.w.Write(p)
	if err != nil {
		return n, err
	}
	return n, s.control.Flush()
}

// Close ends reads at once. It ends writes after the one under way, which has
// until its deadline. The stream itself ends when its handler returns: with
// END_STREAM, unless a write deadline has reset it.
func (s *stream) Close() error {
	s.once.Do(func() {
		close(s.closed)
		_ = s.SetReadDeadline(time.Unix(1, 0))
		s.writing.Lock() // wait for the write under way
		defer s.writing.Unlock()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.armGuard(time.Time{})
		for _, restore := range slices.Backward(s.restore) {
			restore()
		}
		s.over = true
	})
	return nil
}

func (s *stream) isClosed() bool {
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

// SetReadDeadline makes reads end at t. Zero: no deadline. After Close it does
// nothing: a tunnel that is being cut may still set a deadline when the handler
// has already returned.
func (s *stream) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return net.ErrClosed
	}
	return s.control.SetReadDeadline(t)
}

// SetWriteDeadline makes writes end at t. Zero: no deadline. On HTTP/2 a
// deadline that passes resets the stream. That does not help if the client
// reads nothing from its whole connection, so then the connection is closed.
// After Close it does nothing.
func (s *stream) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return net.ErrClosed
	}
	s.armGuard(t)
	return s.writes.SetWriteDeadline(t)
}

// armGuard arms the guard of a write deadline. The caller holds s.mu.
func (s *stream) armGuard(t time.Time) {
	if s.guard != nil {
		s.guard.Stop()
		s.guard = nil
	}
	if s.beneath != nil && !t.IsZero() {
		s.guard = time.AfterFunc(time.Until(t)+guardGrace, s.closeIfStuck)
	}
}

// closeIfStuck closes the connection beneath a write that exceeds its deadline.
func (s *stream) closeIfStuck() {
	if s.writing.TryLock() {
		s.writing.Unlock()
		return
	}
	_ = s.beneath.Close() // the client reads nothing from it
}

// address is the address of a stream, as text.
type address string

func (address) Network() string  { return "stream" }
func (a address) String() string { return string(a) }

// Interface guard
var _ net.Conn = (*stream)(nil)
