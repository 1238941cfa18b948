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

// keepAlive finds peers that are gone without a word (RFC 9293 §3.8.4).
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 15 * time.Second, Count: 4}

// take says yes to a handshake and takes its connection. header is what the
// backend's answer brings; what earlier handlers have set stays. On HTTP/1.1
// the answer is 101 and the innermost connection is hijacked; early is what
// the client sent behind its handshake. On HTTP/2 and HTTP/3 the answer is 200
// and the connection is the stream, which ends when its handler returns.
// A client that does not read its answer has 3 s. After an error nothing can be
// answered any more.
func take(w http.ResponseWriter, r *http.Request, header http.Header) (conn net.Conn, early []byte, err error) {
	h := w.Header()
	for name, values := range header {
		if set, before := h[name]; before {
			values = append(slices.Clip(set), values...)
		}
		h[name] = values
	}
	if !detached(r) {
		conn, err = takeStream(w, r)
		return conn, nil, err
	}
	h["Connection"] = []string{"Upgrade"}
	h["Upgrade"] = []string{"websocket"}
	h["Sec-WebSocket-Accept"] = []string{AcceptKey(r.Header.Get("Sec-WebSocket-Key"))}
	control := http.NewResponseController(innermost(w))
	_ = control.SetWriteDeadline(time.Now().Add(answerPatience)) // Hijack takes it back
	w.WriteHeader(http.StatusSwitchingProtocols)                 // outermost: access logs see it
	answered := control.Flush()                                  // Hijack would not say; nor does the context: a client may half-close at once
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
	conn = bare(conn)
	if !listenerKeepsAlive(r) {
		setKeepAlive(conn)
	}
	return conn, early, nil
}

// answerPatience is how long a client may take to take the answer.
const answerPatience = 3 * time.Second

// innermost returns the writer that net/http made: what lies around it (access
// logs, metrics) would put a wrapper around the connection that hides what it
// can do.
func innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = u.Unwrap()
	}
}

// listenerKeepsAlive reports whether Caddy turns keep-alive on for every
// connection it accepts, which it does unless keepalive_interval is negative
// (caddyhttp/app.go).
func listenerKeepsAlive(r *http.Request) bool {
	s, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	return ok && s.KeepAliveInterval >= 0
}

// setKeepAlive turns TCP keep-alive on, below whatever lies above it.
func setKeepAlive(conn net.Conn) {
	for {
		switch c := conn.(type) {
		case *net.TCPConn:
			_ = c.SetKeepAliveConfig(keepAlive) // a connection that cannot is none the worse
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

// bare takes off the wrapper that Caddy puts around a connection to look at
// its first bytes when only one HTTP version is served (http2listener.go): it
// has nothing left to do, and hides that the connection can be half-closed.
// Any other wrapper may hold bytes back, and stays.
func bare(conn net.Conn) net.Conn {
	v := reflect.ValueOf(conn)
	if v.Kind() != reflect.Pointer || v.Type().String() != "*caddyhttp.http2Conn" {
		return conn
	}
	field := v.Elem().FieldByName("Conn")
	if !field.IsValid() || !field.CanInterface() {
		return conn // a Caddy that keeps it elsewhere: the wrapper does no harm
	}
	if inner, ok := field.Interface().(net.Conn); ok {
		return inner
	}
	return conn
}
