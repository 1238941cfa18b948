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
	"net/http/httptrace"
	"net/textproto"
	"os"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

const (
	// maxAnswer bounds the header of a backend's answer, as net/http does.
	maxAnswer = 10 << 20
	// maxHints bounds the answers before the final one (RFC 9110 §15.2).
	maxHints = 5
	// probeInterval is Caddy's default between TCP keep-alive probes.
	probeInterval = 30 * time.Second
)

// direct makes the round trip of a handshake without http.Transport, which
// costs two goroutines and a pool that a connection never comes back to. It
// serves where the transport is Caddy's default: no TLS, no proxy, no options.
type direct struct{ dialer net.Dialer }

// newDirect returns nil where a transport is configured to do more.
func newDirect(config map[string]json.RawMessage, t *reverseproxy.HTTPTransport) *direct {
	for word := range config {
		if word != "protocol" && word != "compression" && word != "dial_timeout" {
			return nil
		}
	}
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"} {
		if os.Getenv(name) != "" {
			return nil
		}
	}
	return &direct{net.Dialer{
		Timeout:         time.Duration(t.DialTimeout),
		KeepAlive:       probeInterval,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Interval: probeInterval},
	}}
}

var (
	readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4096) }}
	writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 4096) }}
)

// roundTrip sends a handshake and reads the answer. Of a 101 the connection
// comes back, with what was read behind it; of any other answer the body ends
// the connection when it is closed.
func (d *direct) roundTrip(req *http.Request) (res *http.Response, conn net.Conn, early []byte, err error) {
	ctx := req.Context()
	info, ok := reverseproxy.GetDialInfo(ctx)
	if !ok {
		return nil, nil, nil, errors.New("no dial information in the request")
	}
	conn, err = d.dialer.DialContext(ctx, info.Network, info.Address)
	if err != nil {
		return nil, nil, nil, reverseproxy.NewDialError(err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	past := time.Unix(1, 0)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(past) })
	limited := &io.LimitedReader{R: conn, N: maxAnswer}
	r := readers.Get().(*bufio.Reader)
	r.Reset(limited)
	res, err = exchange(req, conn, r)
	if !stop() && err == nil { // the client has left, or the time is over
		err = context.Cause(ctx)
	}
	if err != nil {
		giveBack(r)
		_ = conn.Close() // what went wrong has been said
		return nil, nil, nil, reason(ctx, err)
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		limited.N = math.MaxInt64
		leave := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(past) })
		res.Body = &body{ReadCloser: res.Body, conn: conn, r: r, leave: leave}
		return res, nil, nil, nil
	}
	if n := r.Buffered(); n > 0 {
		early = make([]byte, n)
		_, _ = io.ReadFull(r, early) // from its buffer
	}
	giveBack(r)
	res.Body = http.NoBody
	return res, conn, early, conn.SetDeadline(time.Time{})
}

// exchange writes the request and reads the final answer; earlier ones go to
// the client as reverse_proxy sends them.
func exchange(req *http.Request, conn net.Conn, r *bufio.Reader) (*http.Response, error) {
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
	trace := httptrace.ContextClientTrace(req.Context())
	for range maxHints + 1 {
		res, err := http.ReadResponse(r, req)
		if err != nil {
			return nil, fmt.Errorf("reading the answer: %w", err)
		}
		if res.StatusCode >= 200 || res.StatusCode == http.StatusSwitchingProtocols {
			return res, nil
		}
		if trace != nil && trace.Got1xxResponse != nil {
			if err := trace.Got1xxResponse(res.StatusCode, textproto.MIMEHeader(res.Header)); err != nil {
				return nil, err
			}
		}
	}
	return nil, errors.New("reading the answer: too many 1xx responses")
}

// reason puts the context's end in place of the deadline that it caused:
// reverse_proxy goes by it.
func reason(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil {
		return cause
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return err
}

func giveBack(r *bufio.Reader) {
	r.Reset(nil)
	readers.Put(r)
}

// body is that of an answer that is no 101. Its connection ends with it.
type body struct {
	io.ReadCloser
	conn  net.Conn
	r     *bufio.Reader
	leave func() bool
	once  sync.Once
}

// Close ends the connection.
func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(func() {
		b.leave()
		err = errors.Join(err, b.conn.Close())
		giveBack(b.r)
	})
	return err
}
