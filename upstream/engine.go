package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/wsgate/wsgate/internal/handshake"
)

// Config says to whom and how.
type Config struct {
	// Proxy is reverse_proxy's own configuration. The engine owns it from
	// Provision on.
	Proxy *reverseproxy.Handler
	// StripPathPrefix is replaced by Path; both are as in a URL, escaped.
	StripPathPrefix string
	// Path at the upstream. Empty: the URI is left alone. Without a prefix it
	// is the whole path, with placeholders.
	Path string
	// Gate is named in errors.
	Gate string
	// Timeout bounds a handshake over all attempts together. Zero: no limit.
	Timeout time.Duration
}

// Engine runs handshakes.
type Engine struct {
	Config

	path pathRule
}

// Accepted is a backend that said 101, rightly.
type Accepted struct {
	// Conn is the connection to the backend, detached from the request.
	Conn net.Conn
	// Early is what the backend sent behind its 101.
	Early []byte
	// Upstream is the address as the configuration has it.
	Upstream string
	// Dynamic: the address is not in the configuration, but found at run time.
	Dynamic bool
	// Header is for the client: without hop-by-hop fields, Accept, Server and
	// X-Powered-By, and with header_down applied.
	Header http.Header
	// Release counts the tunnel as ended. Call it once.
	Release func()
}

// New returns an engine that is still to be provisioned.
func New(c Config) *Engine { return &Engine{Config: c} }

// Provision readies the embedded reverse_proxy. The tap is in place before
// that: Caddy's health checkers start with it, and read the transport.
func (e *Engine) Provision(ctx caddy.Context) error {
	e.path = newPathRule(e.StripPathPrefix, e.Config.Path)
	h := e.Proxy
	t, err := loadTransport(ctx, h)
	if err != nil {
		return err
	}
	h.Transport = t
	if err := leave101Alone(h); err != nil {
		return err
	}
	if err := h.Provision(ctx); err != nil {
		return fmt.Errorf("provisioning reverse_proxy: %w", err)
	}
	h.LoadBalancing.SelectionPolicy = countTunnels(h.LoadBalancing.SelectionPolicy)
	return nil
}

// Cleanup gives back what Provision took. Open tunnels are not touched.
func (e *Engine) Cleanup() error { return e.Proxy.Cleanup() }

// loadTransport loads the configured transport, or HTTP's default, and taps it.
// Compression is off: its own Accept-Encoding would be sent upstream.
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

// leave101Alone keeps handle_response routes away from the 101, which is ours.
func leave101Alone(h *reverseproxy.Handler) error {
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

// Handshake runs one handshake. It returns what the backend accepted; or
// neither, when the backend's other answer has gone to the client; or an
// [*Error], when nothing was written to the client.
func (e *Engine) Handshake(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) (*Accepted, error) {
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	a := &attempt{response: e.Proxy.Headers, repl: repl, dynamic: e.Proxy.DynamicUpstreams != nil}
	ctx := context.WithValue(r.Context(), attemptKey{}, a)
	if e.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, e.Timeout)
		defer cancel()
	}
	out := e.path.apply(r.WithContext(ctx), repl)
	if !handshake.Detached(r) {
		out = asUpgrade(out)
	}
	err := e.Proxy.ServeHTTP(w, out, next)
	switch {
	case a.accepted != nil && r.Context().Err() != nil:
		_ = a.accepted.Conn.Close()
		a.accepted.Release()
		return nil, &Error{Status: statusClientGone, Outcome: Aborted, Err: context.Cause(r.Context())}
	case a.accepted != nil:
		return a.accepted, nil
	case err != nil:
		return nil, classify(err, a.failure)
	case r.Context().Err() != nil:
		return nil, &Error{Status: statusClientGone, Outcome: Aborted, Err: context.Cause(r.Context())}
	}
	return nil, nil
}

// attempt is a handshake on its way through the embedded handler.
type attempt struct {
	response *headersHandler
	repl     *caddy.Replacer
	dynamic  bool

	accepted *Accepted
	failure  error // the last one of the transport
}

// attemptKey finds the attempt in a request's context.
type attemptKey struct{}
