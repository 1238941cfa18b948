package upstream

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"golang.org/x/net/http/httpguts"

	"github.com/wsgate/wsgate/tunnel"
)

const (
	// maxAnswer limits the size of the header of a backend's answer, together
	// with the 1xx answers before it, unless max_response_header_size sets
	// another limit. The header stays in memory until the client has taken it.
	maxAnswer = 256 << 10
	// probeInterval is Caddy's default interval of TCP keep-alive probes. The
	// system decides how many probes there are; its default is 9, like Go's.
	probeInterval = 30 * time.Second
)

// direct makes the round trip of a handshake without http.Transport, which
// costs two goroutines and a pool that the connection never returns to. It is
// used where the transport is Caddy's default: no TLS, no proxy, no options.
type direct struct {
	dialer net.Dialer
	most   int64 // limit of the answer's header, in bytes
}

// newDirect returns the direct way of a transport. Nil: the transport is
// configured to do more.
func newDirect(config map[string]json.RawMessage, t *reverseproxy.HTTPTransport) *direct {
	for word := range config {
		if word != "protocol" && word != "compression" && word != "dial_timeout" && word != "max_response_header_size" {
			return nil
		}
	}
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"} {
		if os.Getenv(name) != "" {
			return nil
		}
	}
	return &direct{dialer: net.Dialer{
		Timeout:         time.Duration(t.DialTimeout),
		KeepAlive:       probeInterval,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Interval: probeInterval, Count: -1},
	}, most: t.MaxResponseHeaderSize}
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

var (
	readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4096) }}
	writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 4096) }}
)

// hintFunc is called for each answer before the final one.
type hintFunc func(code int, header http.Header) error

// roundTrip sends a handshake and reads the answer. For a 101 it returns the
// connection, and the bytes that were read after the answer. For any other
// answer, closing the body closes the connection. The round trip ends at the
// deadline (zero: none) and when ctx ends.
func (d *direct) roundTrip(ctx context.Context, req *http.Request, at *reverseproxy.DialInfo, deadline time.Time, early hintFunc) (*http.Response, net.Conn, []byte, error) {
	if err := checkFields(req.Header); err != nil {
		return nil, nil, nil, err
	}
	dialer := d.dialer
	dialer.Deadline = deadline
	conn, free, err := tunnel.Dial(ctx, &dialer, at.Network, at.Address)
	if err != nil {
		return nil, nil, nil, dialError(ctx, deadline, err)
	}
	_ = conn.SetDeadline(deadline)
	limited := &io.LimitedReader{R: conn, N: d.most}
	r := readers.Get().(*bufio.Reader)
	r.Reset(limited)
	res, err := exchange(req, conn, r, early)
	if err != nil && limited.N <= 0 {
		err = errTooLong
	}
	if err == nil && res.StatusCode != http.StatusSwitchingProtocols {
		limited.N = math.MaxInt64
		res.Body = &body{ReadCloser: res.Body, conn: conn, r: r, free: free}
		return res, nil, nil, nil
	}
	if !free() && err == nil { // the client has left, or the time is over
		err = ctx.Err()
	}
	if err != nil {
		putReader(r)
		_ = conn.Close() // err already has the reason
		return nil, nil, nil, contextOr(ctx, err)
	}
	var behind []byte
	if n := r.Buffered(); n > 0 {
		behind = make([]byte, n)
		_, _ = io.ReadFull(r, behind) // from its buffer
	}
	putReader(r)
	res.Body = http.NoBody
	return res, conn, behind, conn.SetDeadline(time.Time{})
}

// checkFields refuses header fields that http.Transport would not send either.
// header_up may have made them from the client's input. The error does not show
// that input, which may be secret.
func checkFields(h http.Header) error {
	for name, values := range h {
		if !httpguts.ValidHeaderFieldName(name) {
			return errors.New("sending the handshake: a field name is invalid")
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return fmt.Errorf("sending the handshake: the value of %s is invalid", name)
			}
		}
	}
	return nil
}

// dialError returns the error of a failed dial. If the time for all attempts
// together is over, that is not this upstream's fault.
func dialError(ctx context.Context, deadline time.Time, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !deadline.IsZero() && !time.Now().Before(deadline):
		return context.DeadlineExceeded
	}
	return reverseproxy.NewDialError(err)
}

// exchange writes the request and reads the final answer.
func exchange(req *http.Request, conn net.Conn, r *bufio.Reader, early hintFunc) (*http.Response, error) {
	w := writers.Get().(*bufio.Writer)
	w.Reset(conn)
	err := req.Write(w)
	if err == nil {
		err = w.Flush()
	}
	w.Reset(nil)
	writers.Put(w)
	if err != nil {
		return nil, fmt.Errorf("writing the handshake: %w", err)
	}
	for { // the size of all 1xx answers counts towards the header's limit
		res, err := http.ReadResponse(r, req)
		if err != nil {
			return nil, readError(err)
		}
		if isHTTP1(res) && (res.StatusCode >= 200 || res.StatusCode == http.StatusSwitchingProtocols) {
			return res, nil
		}
		if !isHTTP1(res) {
			return nil, errNoHTTP
		}
		if err := early(res.StatusCode, res.Header); err != nil {
			return nil, err
		}
	}
}

// errNoHTTP means that the backend's answer is not HTTP. It does not repeat the
// answer, which may be anything.
var errNoHTTP = errors.New("the backend's answer is no valid HTTP")

// errTooLong means that the header of a backend's answer exceeds the limit.
var errTooLong = errors.New("the header of the backend's answer is too large (max_response_header_size of the transport)")

// isHTTP1 reports whether an answer is HTTP/1 and has a valid status.
func isHTTP1(res *http.Response) bool { return res.ProtoMajor == 1 && res.StatusCode >= 100 }

// readError returns the error for an answer that could not be read.
func readError(err error) error {
	var connection net.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &connection), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("reading the answer: %w", err)
	}
	return errNoHTTP
}

// contextOr returns the context's error instead of the I/O error that it
// caused, because reverse_proxy decides by the context's error.
func contextOr(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil {
		return cause
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return err
}

// putReader returns a reader to the pool.
func putReader(r *bufio.Reader) {
	r.Reset(nil)
	readers.Put(r)
}

// body is the body of an answer other than 101. Closing it closes the
// connection.
type body struct {
	io.ReadCloser
	conn net.Conn
	r    *bufio.Reader
	free func() bool
	once sync.Once
}

// Close closes the connection before the body. Otherwise the body would first
// read its rest, and wait for it.
func (b *body) Close() error {
	var err error
	b.once.Do(func() {
		b.free()
		err = b.conn.Close()
		_ = b.ReadCloser.Close() // an error about a missing rest does not matter
		putReader(b.r)
	})
	return err
}
