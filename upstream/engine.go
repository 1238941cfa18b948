package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/wsgate/wsgate/internal/handshake"
)

// Config says where handshakes go, and how.
type Config struct {
	// Proxy is reverse_proxy's own configuration. After Provision it belongs to
	// the engine.
	Proxy *reverseproxy.Handler
	// StripPathPrefix is the prefix that Path replaces. Both are escaped, as in
	// a URL.
	StripPathPrefix string
	// Path is the path at the upstream. Empty: the URI is not changed. Without
	// a prefix it is the whole path, and may have placeholders.
	Path string
	// Gate is the gate's name, for errors.
	Gate string
	// Timeout limits a handshake, all attempts together. Zero: no limit.
	Timeout time.Duration
}

// Engine runs handshakes.
type Engine struct {
	Config

	path        pathRule
	short       *short // nil: reverse_proxy runs all handshakes
	provisioned bool   // the handler's Provision was called
	hideErrors  bool   // network errors may contain parts of a request
}

// Accepted is the connection to a backend that answered with a valid 101.
type Accepted struct {
	// Conn is the connection to the backend, detached from the request.
	Conn net.Conn
	// Early is what the backend sent right after its 101.
	Early []byte
	// Upstream is the address as the configuration has it.
	Upstream string
	// Dynamic is set if the address was found at run time and is not in the
	// configuration.
	Dynamic bool
	// Header is the header for the client: without hop-by-hop fields, Accept,
	// Server and X-Powered-By, and with header_down applied.
	Header http.Header
	// Release counts the tunnel as ended. Call it once.
	Release func()
}

// New returns an engine that is not yet provisioned.
func New(c Config) *Engine { return &Engine{Config: c} }

// Provision provisions the embedded reverse_proxy. The tap is set before that,
// because Caddy's health checkers then start and read the transport.
func (e *Engine) Provision(ctx caddy.Context) error {
	var err error
	if e.path, err = newPathRule(e.StripPathPrefix, e.Config.Path); err != nil {
		return err
	}
	h := e.Proxy
	e.hideErrors = hasPlaceholders(h, h.TransportRaw)
	t, err := loadTransport(ctx, h)
	if err != nil {
		return err
	}
	h.Transport = t
	if err := exclude101(h); err != nil {
		return err
	}
	e.provisioned = true
	if err := h.Provision(ctx); err != nil {
		return fmt.Errorf("provisioning reverse_proxy: %w", err)
	}
	if err := quietLogs(h, e.hideErrors); err != nil {
		return err
	}
	h.LoadBalancing.SelectionPolicy = retrySelector{countTunnels(h.LoadBalancing.SelectionPolicy), time.Duration(h.LoadBalancing.TryInterval)}
	h.LoadBalancing.TryInterval = 0 // retrySelector does the waiting, and never longer than the handshake's time
	if h.DynamicUpstreams != nil {
		h.DynamicUpstreams = timedSource{h.DynamicUpstreams}
	}
	e.short = newShort(h, t.direct)
	if most := caddy.Duration(e.Timeout); most > 0 && h.LoadBalancing.TryDuration > most {
		h.LoadBalancing.TryDuration = most // a later attempt would be useless
	}
	return nil
}

// Cleanup gives back what Provision took. It does not touch open tunnels. A
// handler that was never provisioned has nothing to give back, and its Cleanup
// would panic.
func (e *Engine) Cleanup() error {
	if !e.provisioned {
		return nil
	}
	return e.Proxy.Cleanup()
}

// loadTransport loads the configured transport, or the default one for HTTP,
// and taps it. Compression is off, because the transport would send an
// Accept-Encoding of its own.
func loadTransport(ctx caddy.Context, h *reverseproxy.Handler) (*tap, error) {
	config := map[string]json.RawMessage{"protocol": json.RawMessage(`"http"`)}
	if h.TransportRaw != nil {
		if err := json.Unmarshal(h.TransportRaw, &config); err != nil {
			return nil, fmt.Errorf("decoding transport: %w", err)
		}
	}
	switch string(config["protocol"]) {
	case `"http"`:
		config["compression"] = json.RawMessage("false")
		limitToAnswer(config)
		if _, set := config["max_response_header_size"]; !set {
			config["max_response_header_size"] = json.RawMessage(strconv.Itoa(maxAnswer))
		}
	case `"fastcgi"`:
		return nil, errors.New("transport fastcgi cannot carry WebSocket: use http")
	}
	raw, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encoding transport: %w", err)
	}
	h.TransportRaw = raw
	module, err := ctx.LoadModule(h, "TransportRaw")
	h.TransportRaw = nil
	if err != nil {
		return nil, fmt.Errorf("loading transport: %w", err)
	}
	if t, ok := module.(*reverseproxy.HTTPTransport); ok {
		for _, v := range t.Versions {
			if v == "1.1" {
				return &tap{inner: t, direct: newDirect(config, t)}, nil
			}
		}
		return nil, fmt.Errorf("transport http versions %v cannot carry an Upgrade: add 1.1", t.Versions)
	}
	rt, ok := module.(http.RoundTripper)
	if !ok {
		return nil, fmt.Errorf("transport %T is no http.RoundTripper", module)
	}
	return &tap{inner: rt}, nil
}

// limitToAnswer limits a transport's read_timeout and write_timeout to what
// they are meant for: the answer. On the connection itself they would end a
// quiet tunnel.
func limitToAnswer(config map[string]json.RawMessage) {
	if read, set := config["read_timeout"]; set {
		if _, set := config["response_header_timeout"]; !set {
			config["response_header_timeout"] = read
		}
		delete(config, "read_timeout")
	}
	delete(config, "write_timeout")
}

// exclude101 changes the handle_response routes so that none matches a 101: the
// tap takes that answer. It refuses routes that ask for a 101.
func exclude101(h *reverseproxy.Handler) error {
	for i := range h.HandleResponse {
		rh := &h.HandleResponse[i]
		if rh.StatusCode.String() != "" {
			return errors.New("replace_status would hide the backend's answer to a handshake: use handle_response")
		}
		m := caddyhttp.ResponseMatcher{}
		if rh.Match != nil {
			m = *rh.Match
		}
		if len(m.StatusCode) == 0 {
			m.StatusCode = []int{2, 3, 4, 5}
		}
		for _, code := range m.StatusCode {
			if code == 1 || code == http.StatusSwitchingProtocols {
				return errors.New("handle_response never sees the 101 of a handshake: leave out status 101")
			}
		}
		rh.Match = &m
	}
	return nil
}

// Handshake runs one handshake. It returns what the backend accepted, or the
// error. stream is set for a stream of HTTP/2 or HTTP/3.
func (e *Engine) Handshake(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, stream bool) (*Accepted, *Error) {
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	a := &attempt{ctx: r.Context(), response: e.Proxy.Headers, repl: repl, dynamic: e.Proxy.DynamicUpstreams != nil, stream: stream}
	if e.Timeout > 0 {
		a.deadline = time.Now().Add(e.Timeout)
	}
	w = limitHintTime(w)
	out, err := e.path.apply(r, repl)
	if err != nil {
		return nil, &Error{Status: http.StatusBadRequest, Outcome: Malformed, Err: err}
	}
	if a.stream {
		out = asUpgrade(out)
	}
	if e.short != nil && e.short.canRun(out) {
		e.short.handshake(w, out, a)
	}
	if a.accepted == nil {
		err = e.throughProxy(w, out, next, a)
	}
	if err != nil {
		a.dropAccepted() // retry_match has rejected its 101
	}
	gone := r.Context().Err() != nil
	var failed *Error
	switch {
	case a.stopCause() != nil && !a.cut && (err != nil || a.refusedStatus == 0):
		a.dropAccepted()
		failed = &Error{Status: http.StatusServiceUnavailable, Outcome: Stopped, Err: a.stopCause()}
	case a.cut:
		failed = &Error{Status: a.refusedStatus, Outcome: Refused, Answered: true, Cut: true, Err: fmt.Errorf("the backend answered %d, and the answer was broken off", a.refusedStatus)}
	case a.expired && err == nil:
		failed = &Error{Status: http.StatusGatewayTimeout, Outcome: Timeout, Err: errLate}
	case a.accepted != nil && !gone:
		a.accepted.Header = a.clientHeader() // placeholders know the answer by now
		return a.accepted, nil
	case a.accepted != nil:
		a.dropAccepted()
		fallthrough
	case gone && err == nil:
		failed = &Error{Status: statusClientGone, Outcome: Aborted, Err: context.Cause(r.Context())}
	case err != nil:
		failed = a.classify(err)
	default:
		failed = &Error{Status: a.refusedStatus, Outcome: Refused, Answered: true, Err: fmt.Errorf("the backend answered %d", a.refusedStatus)}
	}
	failed.Upstream, failed.hideErrors = a.tried, e.hideErrors
	return nil, failed
}

// throughProxy runs a handshake through reverse_proxy. If the short way was
// tried before, its outcome is that of reverse_proxy's first attempt.
func (e *Engine) throughProxy(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, a *attempt) error {
	ctx := context.WithValue(r.Context(), attemptKey{}, a)
	if !a.deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, a.deadline)
		defer cancel()
	}
	defer a.recover()
	r = r.WithContext(ctx)
	r.Header = r.Header.Clone() // routes of handle_response get this header, after Strip
	a.request, a.w = r, w
	if !a.stream {
		return e.Proxy.ServeHTTP(hideStop{w, a}, r, next)
	}
	no := &neverAccepts{ResponseWriter: w}
	err := e.Proxy.ServeHTTP(hideStop{no, a}, r, next)
	if err == nil && a.accepted == nil && !a.stopped() {
		no.sendStatus() // otherwise net/http would send 200
	}
	return err
}

// attempt is a handshake while the embedded handler runs.
type attempt struct {
	ctx      context.Context // of the request
	response *headers.Handler
	repl     *caddy.Replacer
	dynamic  bool
	deadline time.Time     // zero: none
	stream   bool          // of HTTP/2 or HTTP/3
	request  *http.Request // for reverse_proxy, which makes its own copy
	w        http.ResponseWriter

	accepted      *Accepted
	answered      *http.Response // the 101 of accepted
	tried         string         // the upstream that was asked last
	refusedStatus int            // the status of tried, if it was not 101; 0: none yet
	failure       error          // the last one of the transport
	selections    int            // how often an upstream was selected
	expired       bool           // no further attempt was made: the time was over
	cut           bool           // the answer to the client was broken off

	// Of the short way.
	chosen  *reverseproxy.DialInfo
	began   time.Time
	latency time.Duration
	first   *firstResult // nil: reverse_proxy has no outcome to handle
}

// recover is deferred. It notes that reverse_proxy broke off an answer:
// reverse_proxy does that by a panic.
func (a *attempt) recover() {
	switch v := recover(); v {
	case nil:
	case http.ErrAbortHandler:
		a.cut = true
	default:
		a.dropAccepted()
		panic(v)
	}
}

// dropAccepted closes the connection that the backend accepted, if there is
// one.
func (a *attempt) dropAccepted() {
	if up := a.accepted; up != nil {
		a.accepted = nil
		_ = up.Conn.Close()
		up.Release()
	}
}

// stopCause returns an error if wsgate itself ended the handshake: the process
// is about to exit, or the gate has closed. Nil: it did not.
func (a *attempt) stopCause() error {
	var s *handshake.Stopped
	if errors.As(context.Cause(a.ctx), &s) {
		return s
	}
	return nil
}

// stopped reports whether wsgate stopped reverse_proxy before it had an answer.
// Then reverse_proxy must not answer the client.
func (a *attempt) stopped() bool { return a.expired || a.refusedStatus == 0 && a.stopCause() != nil }

// late reports whether the time for all attempts together is over.
func (a *attempt) late() bool { return !a.deadline.IsZero() && !time.Now().Before(a.deadline) }

// attemptKey is the key of the attempt in a request's context.
type attemptKey struct{}
