package upstream

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/wsgate/wsgate/internal/handshake"
)

// keyHeader is the spelling of RFC 6455, under which Caddy stores the key.
// net/http's canonical spelling is different.
const keyHeader = "Sec-WebSocket-Key"

// tap is the transport of the embedded reverse_proxy: it calls the real
// transport and looks at the answer.
type tap struct {
	inner http.RoundTripper
	// direct is the short way to the backend. Nil: there is none.
	direct *direct
}

// RoundTrip sends a request. If it is a handshake and the backend answers with
// a valid 101, it takes the connection out of the response.
func (t *tap) RoundTrip(req *http.Request) (*http.Response, error) {
	a, ok := req.Context().Value(attemptKey{}).(*attempt)
	if !ok {
		return t.inner.RoundTrip(req) // a health check
	}
	a.failure, a.refusedStatus = nil, 0
	res, err := t.attempt(req, a)
	if err == nil && a.stream && accepts(res.StatusCode) {
		err = errors.Join(&handshake.FalseClaim{Reason: fmt.Sprintf("it is no 101 but %d", res.StatusCode)}, res.Body.Close())
	}
	if err != nil {
		a.failure = err
		return nil, err
	}
	a.refusedStatus = res.StatusCode
	if a.accepted == nil {
		handshake.LimitWrites(a.w, a.request)
		handshake.Strip(a.request) // for handle_response this is no longer a handshake
	}
	return res, nil
}

// attempt makes one attempt, or returns the outcome of the short way.
func (t *tap) attempt(req *http.Request, a *attempt) (*http.Response, error) {
	if o := a.first; o != nil {
		a.first = nil
		return o.res, o.err
	}
	if a.late() {
		a.expired = true
		return nil, context.Canceled // the only error after which reverse_proxy neither retries nor counts a failure
	}
	if req.Context().Err() != nil {
		return nil, context.Canceled
	}
	info, _ := reverseproxy.GetDialInfo(req.Context())
	a.tried = info.String()
	if info.Upstream != nil {
		a.tried = info.Upstream.Dial
	}
	res, conn, early, err := t.exchange(req)
	if err == nil && !isHTTP1(res) {
		err = errors.Join(errNoHTTP, res.Body.Close())
	}
	switch {
	case err != nil && errors.Is(req.Context().Err(), context.Canceled):
		return nil, context.Canceled // whatever the cause: a client that leaves is no failure of the upstream
	case err != nil:
		return nil, err
	case res.StatusCode != http.StatusSwitchingProtocols:
		return res, nil
	}
	if err := a.acceptAnswer(req.Header, res, conn, early, nil); err != nil {
		return nil, err
	}
	header := res.Header.Clone()
	delete(header, "Upgrade") // reverse_proxy would handle the upgrade itself
	return &http.Response{
		Status: res.Status, StatusCode: res.StatusCode,
		Proto: res.Proto, ProtoMajor: res.ProtoMajor, ProtoMinor: res.ProtoMinor,
		Header: header, Body: http.NoBody, Request: req,
	}, nil
}

// exchange makes the round trip, without http.Transport if that would add
// nothing.
func (t *tap) exchange(req *http.Request) (res *http.Response, conn net.Conn, early []byte, err error) {
	if info, ok := reverseproxy.GetDialInfo(req.Context()); ok && t.direct != nil {
		deadline, _ := req.Context().Deadline()
		return t.direct.roundTrip(req.Context(), req, &info, deadline, traceHints(req))
	}
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { conn = info.Conn }}
	res, err = t.inner.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	if err != nil && conn != nil {
		err = readError(err)
	}
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		return res, nil, nil, err
	}
	if early, err = buffered(res, conn); err != nil {
		return nil, nil, nil, errors.Join(err, res.Body.Close())
	}
	res.Body = http.NoBody // it holds buffers
	return res, conn, early, nil
}

// traceHints returns a function that reports 1xx answers to reverse_proxy as
// http.Transport does.
func traceHints(req *http.Request) hintFunc {
	trace := httptrace.ContextClientTrace(req.Context())
	return func(code int, header http.Header) error {
		if trace == nil || trace.Got1xxResponse == nil {
			return nil
		}
		return trace.Got1xxResponse(code, textproto.MIMEHeader(header))
	}
}

// acceptAnswer checks a 101 and takes its connection. release ends the count of
// the tunnel in the upstream's load. Nil: the tunnel is not counted yet, and
// acceptAnswer counts it.
func (a *attempt) acceptAnswer(asked http.Header, res *http.Response, conn net.Conn, early []byte, release func()) error {
	var key string
	if keys := asked[keyHeader]; len(keys) > 0 {
		key = keys[0]
	}
	err := handshake.CheckAnswer(asked, res.Header, key)
	if err == nil && !res.ProtoAtLeast(1, 1) {
		err = &handshake.FalseClaim{Reason: "it is HTTP/1.0"}
	}
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	if release == nil {
		release = addLoad(a.tried)
	}
	a.accepted = &Accepted{
		Conn: conn, Early: early,
		Upstream: a.tried, Dynamic: a.dynamic || strings.Contains(a.tried, "{"),
		Release: release,
	}
	a.answered = res
	return nil
}

// buffered returns the bytes that the transport has already read after the 101.
// It does not wait for more: with a deadline in the past, a read returns only
// what is in the buffer.
func buffered(res *http.Response, conn net.Conn) ([]byte, error) {
	if conn == nil {
		return nil, errors.New("the transport does not show its connection")
	}
	if err := conn.SetReadDeadline(past); err != nil {
		return nil, fmt.Errorf("taking the backend's connection: %w", err)
	}
	var early []byte
	buf := make([]byte, 4096)
	for {
		n, err := res.Body.(interface{ Read([]byte) (int, error) }).Read(buf)
		early = append(early, buf[:n]...)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			break // an end that came with the 101: the tunnel will see it again
		}
	}
	return early, conn.SetDeadline(time.Time{})
}

// notForClient are fields of a backend's 101 that never go to the client: they
// are hop-by-hop, or wsgate sends its own, or they reveal too much.
var notForClient = append(slices.Clip(hopByHop), "Sec-Websocket-Accept", "Server", "X-Powered-By", "Content-Length")

// clientHeader returns the header of the 101 for the client.
func (a *attempt) clientHeader() http.Header {
	res := a.answered
	h := make(http.Header, len(res.Header)+1)
	maps.Copy(h, res.Header)
	for name := range connectionTokens(h) {
		h.Del(name)
	}
	for _, name := range notForClient {
		delete(h, name)
	}
	for _, name := range []string{"Protocol", "Extensions"} {
		if v, ok := h["Sec-Websocket-"+name]; ok {
			delete(h, "Sec-Websocket-"+name)
			h["Sec-WebSocket-"+name] = v
		}
	}
	h["Via"] = append(slices.Clip(h["Via"]), via(res.ProtoMajor, res.ProtoMinor))
	if a.response != nil && a.response.Response != nil {
		if require := a.response.Response.Require; require == nil || require.Match(res.StatusCode, res.Header) {
			h = h.Clone() // ApplyTo replaces values in place
			a.response.Response.ApplyTo(h, a.repl)
		}
	}
	return h
}

// connectionTokens yields the fields that Connection lists as hop-by-hop.
func connectionTokens(h http.Header) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, line := range h["Connection"] {
			for name := range strings.SplitSeq(line, ",") {
				if name = strings.TrimSpace(name); name != "" && !yield(name) {
					return
				}
			}
		}
	}
}

// asUpgrade turns an extended CONNECT into the HTTP/1.1 handshake that goes
// upstream (RFC 8441 §5). This is done before reverse_proxy sees it, because
// reverse_proxy decides by the Upgrade header.
func asUpgrade(r *http.Request) *http.Request {
	out := *r
	out.Method = http.MethodGet
	out.Header = r.Header.Clone()
	out.Header.Del(":protocol")
	out.Header.Set("Upgrade", "websocket")
	out.Header.Set("Connection", "Upgrade")
	out.Header.Set("Sec-WebSocket-Version", "13")
	key := make([]byte, 16)
	_, _ = rand.Read(key) // never fails
	out.Header.Set(keyHeader, base64.StdEncoding.EncodeToString(key))
	out.Body, out.ContentLength = http.NoBody, 0
	return &out
}

// The optional interfaces of a transport that reverse_proxy asks for.

// OverrideHealthCheckScheme calls the inner transport's.
func (t *tap) OverrideHealthCheckScheme(base *url.URL, port string) {
	if o, ok := t.inner.(reverseproxy.HealthCheckSchemeOverriderTransport); ok {
		o.OverrideHealthCheckScheme(base, port)
	}
}

// ProxyProtocolEnabled calls the inner transport's.
func (t *tap) ProxyProtocolEnabled() bool {
	p, ok := t.inner.(reverseproxy.ProxyProtocolTransport)
	return ok && p.ProxyProtocolEnabled()
}

// RequestHeaderOps calls the inner transport's.
func (t *tap) RequestHeaderOps() *headers.HeaderOps {
	if o, ok := t.inner.(reverseproxy.RequestHeaderOpsTransport); ok {
		return o.RequestHeaderOps()
	}
	return nil
}

// RequiresContentLength calls the inner transport's.
func (t *tap) RequiresContentLength() bool {
	c, ok := t.inner.(reverseproxy.ContentLengthRequiredTransport)
	return ok && c.RequiresContentLength()
}

// Interface guards
var (
	_ http.RoundTripper                                = (*tap)(nil)
	_ reverseproxy.HealthCheckSchemeOverriderTransport = (*tap)(nil)
	_ reverseproxy.ProxyProtocolTransport              = (*tap)(nil)
	_ reverseproxy.RequestHeaderOpsTransport           = (*tap)(nil)
	_ reverseproxy.ContentLengthRequiredTransport      = (*tap)(nil)
)
