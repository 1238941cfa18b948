package handshake

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// keepAlive finds peers that are gone without a close (RFC 9293 §3.8.4).
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 15 * time.Second, Count: 4}

// Accept sends the answer that accepts the handshake, and takes the connection.
// header has the fields of the backend's answer; fields that earlier handlers
// have set stay. On HTTP/1.1 the answer is 101 and the innermost connection is
// hijacked; early is what the client sent right after its handshake. On HTTP/2
// and HTTP/3 the answer is 200 and the connection is the stream, which ends
// when its handler returns. A client has 3 s to read the answer. After an error
// no answer can be sent any more.
func (h *Handshake) Accept(header http.Header) (conn net.Conn, early []byte, err error) {
	w, r := h.Writer, h.Request
	fields := w.Header()
	addTo(fields, header)
	if !detached(r) {
		conn, err = acceptStream(w, r)
		return conn, nil, err
	}
	fields["Connection"] = []string{"Upgrade"}
	fields["Upgrade"] = []string{"websocket"}
	fields["Sec-WebSocket-Accept"] = []string{AcceptKey(r.Header.Get("Sec-WebSocket-Key"))}
	control := http.NewResponseController(innermost(w))
	_ = control.SetWriteDeadline(time.Now().Add(answerLimit)) // Hijack removes it
	w.WriteHeader(http.StatusSwitchingProtocols)              // the outermost writer: access logs see it
	answered := control.Flush()                               // Hijack would not report it, nor does the context: a client may half-close at once
	var brw *bufio.ReadWriter
	conn, brw, err = control.Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("taking the connection: %w", err)
	}
	if answered != nil {
		return nil, nil, errors.Join(fmt.Errorf("answering the handshake: %w", answered), conn.Close())
	}
	if n := brw.Reader.Buffered(); n > 0 {
		early = make([]byte, n)
		_, _ = brw.Read(early) // from its buffer: cannot fail
	}
	conn = unwrapHTTP2Conn(conn)
	if !listenerKeepsAlive(r) {
		setKeepAlive(conn)
	}
	return conn, early, nil
}

// addTo adds header fields to those that are already set.
func addTo(h, more http.Header) {
	for name, values := range more {
		if set, before := h[name]; before {
			values = append(slices.Clip(set), values...)
		}
		h[name] = values
	}
}

// answerLimit is how long a client may take to read the answer.
const answerLimit = 3 * time.Second

// innermost returns the writer that net/http made. The writers around it
// (access logs, metrics) would put a wrapper around the connection, and the
// wrapper hides what the connection can do.
func innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = u.Unwrap()
	}
}

// listenerKeepsAlive reports whether Caddy sets keep-alive on every connection
// that it accepts. It does unless keepalive_interval is negative
// (caddyhttp/app.go).
func listenerKeepsAlive(r *http.Request) bool {
	s, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	return ok && s.KeepAliveInterval >= 0
}

// setKeepAlive sets TCP keep-alive on the connection below all wrappers.
func setKeepAlive(conn net.Conn) {
	for {
		switch c := conn.(type) {
		case *net.TCPConn:
			_ = c.SetKeepAliveConfig(keepAlive) // a connection without keep-alive still works
			return
		case *tls.Conn:
			conn = c.NetConn()
		case interface{ TCPConn() (*net.TCPConn, bool) }: // proxyproto
			if tcp, ok := c.TCPConn(); ok {
				_ = tcp.SetKeepAliveConfig(keepAlive)
			}
			return
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return
		}
	}
}

// unwrapHTTP2Conn removes the wrapper that Caddy puts around a connection to
// read its first bytes when only one HTTP version is served (http2listener.go).
// The wrapper has nothing left to do, and hides that the connection can be
// half-closed. Any other wrapper may hold bytes back, and stays.
func unwrapHTTP2Conn(conn net.Conn) net.Conn {
	v := reflect.ValueOf(conn)
	if v.Kind() != reflect.Pointer || v.Type().String() != "*caddyhttp.http2Conn" {
		return conn
	}
	field := v.Elem().FieldByName("Conn")
	if !field.IsValid() || !field.CanInterface() {
		return conn // another Caddy keeps it elsewhere: the wrapper does no harm
	}
	if inner, ok := field.Interface().(net.Conn); ok {
		return inner
	}
	return conn
}
