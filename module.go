package wsgate

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/handshake"
	"github.com/wsgate/wsgate/internal/registry"
	"github.com/wsgate/wsgate/policy"
	"github.com/wsgate/wsgate/upstream"
)

func init() {
	caddy.RegisterModule(new(Handler))
}

// defaultHandshakeTimeout limits the time of a handshake over all attempts
// together.
const defaultHandshakeTimeout = 15 * time.Second

// Handler passes WebSocket opening handshakes to an upstream while its gate is
// open, and hands the resulting tunnels to the gate. Requests that are not an
// opening handshake go to the next handler.
//
// These placeholders are available to later handlers, error routes and logs,
// for every request that reaches this handler:
//
// Placeholder | Description
// ------------|-------------
// `{http.wsgate.gate}` | The gate's name
// `{http.wsgate.state}` | `open` or `closed`
// `{http.wsgate.cause}` | What decided: `override`, `rule` or `config`; `shutdown` when the process is about to exit
// `{http.wsgate.reason}` | The text for clients: the operator's reason, else the policy's, else a neutral sentence with the time. Plain text: escape it in HTML
// `{http.wsgate.until}` | When the state can change next (RFC 3339), empty where unknown
// `{http.wsgate.retry_after}` | How many seconds the client should wait: until the gate can open, else a random number from 5 to 30. Empty while the gate is open
// `{http.wsgate.outcome}` | How the handshake ended: `accepted`, `closed`, `malformed` or one of `upstream_…`, `aborted`. Empty for other requests
// `{http.wsgate.tunnel_id}` | The tunnel's name in logs, once the handshake is accepted
type Handler struct {
	// The gate that the tunnels belong to: letters, digits, `_`, `.` and `-`,
	// at most 64. Handlers that name the same gate share it. Default:
	// `default`.
	Gate string `json:"gate,omitempty"`

	// A name for this handler. After a reload, an open tunnel follows the
	// limits (`idle_timeout`, `max_lifetime`, `half_open_timeout`) of the handler that has the same
	// name as the one the tunnel came through. Handlers of a gate that have the
	// same name must have the same limits. At most 256 bytes of UTF-8. Default:
	// none; its tunnels keep the limits that they began with. The Caddyfile
	// makes a name from the site's address and the matcher.
	Name string `json:"name,omitempty"`

	// The policy of the gate. Write it here, or once in the app's `gates`.
	// Another handler of the same gate may leave it out or repeat it, but may
	// not change it. Default: the gate is open, and keeps its tunnels when it
	// is closed.
	Policy *policy.Policy `json:"policy,omitempty"`

	// How long a handshake may take until the backend answers, all attempts
	// together. After that time the client gets 504. Default: 15s. Negative: no
	// limit.
	HandshakeTimeout caddy.Duration `json:"handshake_timeout,omitempty"`

	// How long a tunnel may carry no byte, in either direction, before it is
	// closed with code 1001. Default: no limit. Negative is refused. Tunnels
	// that are already open follow a new value of the handler with the same
	// `name` at once.
	IdleTimeout caddy.Duration `json:"idle_timeout,omitempty"`

	// How long a tunnel may be open, busy or idle, before it is closed with
	// code 1001. Default: no limit. Negative is refused. Tunnels that are
	// already open follow a new value of the handler with the same `name` at
	// once.
	MaxLifetime caddy.Duration `json:"max_lifetime,omitempty"`

	// How long a tunnel may carry no byte once one side has ended its direction
	// (a FIN) and the other has not. It is then closed with code 1001, which
	// goes to the side that can still get it. Default: 2m. Negative: no limit.
	// Tunnels that are already open follow a new value of the handler with the
	// same `name`, when they are next looked at.
	HalfOpenTimeout caddy.Duration `json:"half_open_timeout,omitempty"`

	// The prefix of the request's path that `upstream_path` replaces. It is
	// compared as a path matcher compares it; a handshake without the prefix
	// gets 400. Default: none. It needs `upstream_path`.
	StripPathPrefix string `json:"strip_path_prefix,omitempty"`

	// The path at the upstream. It replaces the prefix if there is one, else
	// the whole path. Placeholders are allowed; a handshake whose values lead
	// out of this path gets 400. Default: the URI is not changed.
	UpstreamPath string `json:"upstream_path,omitempty"`

	// How to reach the upstream: Caddy's own reverse_proxy with its options.
	// Refused are its buffers, `flush_interval`, `rewrite.method`,
	// `stream_timeout` and `stream_close_delay`. For the last two, use
	// `max_lifetime` and the policy's `closing`.
	Proxy *reverseproxy.Handler `json:"proxy,omitempty"`

	// Set once by Provision.
	entry      *registry.Entry
	engine     *upstream.Engine
	server     *caddyhttp.Server
	handlerKey string

	cleanedUp sync.Once // Cleanup gives back once what Provision took
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.wsgate",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision prepares the handler. It reads from storage what is stored about
// its gate. It changes nothing that a request or another configuration could
// see.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.setDefaults()
	if err := h.check(); err != nil {
		return err
	}
	module, err := ctx.App("wsgate")
	if err != nil {
		return fmt.Errorf("loading the wsgate app: %w", err)
	}
	app := module.(*App)
	policy, err := h.joinGate(ctx, app)
	if err != nil {
		return err
	}
	h.engine = upstream.New(upstream.Config{
		Proxy:           h.Proxy,
		StripPathPrefix: h.StripPathPrefix,
		Path:            h.UpstreamPath,
		Gate:            h.Gate,
		Timeout:         max(0, time.Duration(h.HandshakeTimeout)),
	})
	if err := h.engine.Provision(ctx); err != nil {
		return err
	}
	h.entry = registry.Acquire(h.Gate, policy, ctx.Storage())
	h.server, _ = ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if h.server != nil && app.markSeen(h.server) {
		watchServer(h.server)
	}
	return nil
}

// watchServer makes a server report its connections and its shutdown, so that
// an exit of the process can end what is under way.
func watchServer(s *caddyhttp.Server) {
	s.RegisterConnContext(handshake.ConnContext)
	s.RegisterConnState(handshake.ConnState)
	s.RegisterOnShutdown(func() {
		if caddy.Exiting() { // Caddy waits for requests under way before it stops our app
			registry.Shutdown()
		}
	})
}

// setDefaults sets the defaults of fields that are not set.
func (h *Handler) setDefaults() {
	if h.Gate == "" {
		h.Gate = defaultGate
	}
	if h.HandshakeTimeout == 0 {
		h.HandshakeTimeout = caddy.Duration(defaultHandshakeTimeout)
	}
}

// check refuses impossible values.
func (h *Handler) check() error {
	if !gate.ValidName(h.Gate) {
		return fmt.Errorf("gate name %q: want 1 to 64 letters, digits, '_', '.' or '-'", h.Gate)
	}
	if err := checkName(h.Name); err != nil {
		return fmt.Errorf("gate %q: %w", h.Gate, err)
	}
	if h.Proxy == nil || (len(h.Proxy.Upstreams) == 0 && h.Proxy.DynamicUpstreamsRaw == nil) {
		return fmt.Errorf("gate %q: no upstream: want proxy.upstreams or proxy.dynamic_upstreams", h.Gate)
	}
	if err := upstream.CheckProxy(h.Proxy); err != nil {
		return fmt.Errorf("gate %q: %w", h.Gate, err)
	}
	if h.UpstreamPath != "" && h.Proxy.Rewrite != nil {
		return fmt.Errorf("gate %q: upstream_path makes a path, and proxy.rewrite another: want one of them", h.Gate)
	}
	if h.IdleTimeout < 0 {
		return fmt.Errorf("idle_timeout %s: want zero (no limit) or more", time.Duration(h.IdleTimeout))
	}
	if h.MaxLifetime < 0 {
		return fmt.Errorf("max_lifetime %s: want zero (no limit) or more", time.Duration(h.MaxLifetime))
	}
	if h.StripPathPrefix != "" && h.UpstreamPath == "" {
		return errors.New("strip_path_prefix without upstream_path: say what replaces the prefix")
	}
	return nil
}

// maxName is the longest name of a handler.
const maxName = 256

// checkName refuses a handler's name that a log line or a page cannot show.
func checkName(name string) error {
	if len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return fmt.Errorf("name %q: want at most %d bytes of UTF-8 without control characters", name, maxName)
	}
	return nil
}

// joinGate adds the handler to its gate, and returns the gate's policy.
func (h *Handler) joinGate(ctx caddy.Context, app *App) (gate.Policy, error) {
	if h.Policy != nil {
		policy, err := h.Policy.Provision(ctx)
		if err != nil {
			return gate.Policy{}, fmt.Errorf("gate %q: %w", h.Gate, err)
		}
		if err := app.declare(h.Gate, h.Policy, policy); err != nil {
			return gate.Policy{}, err
		}
	}
	limits := registry.LimitValues{
		Idle: time.Duration(h.IdleTimeout), Lifetime: time.Duration(h.MaxLifetime), HalfOpen: time.Duration(h.HalfOpenTimeout),
	}
	var err error
	if h.handlerKey, err = app.setLimits(h.Gate, h.Name, limits); err != nil {
		return gate.Policy{}, err
	}
	app.addUpstreams(h.Gate, h.upstreams)
	return app.policyOf(h.Gate), nil
}

// upstreams returns the configured upstreams, with the health that
// reverse_proxy knows. It leaves out an address with a placeholder, which can
// mean any number of backends and has no health of its own.
func (h *Handler) upstreams() (all []registry.UpstreamHealth) {
	for _, u := range h.Proxy.Upstreams {
		if !strings.Contains(u.Dial, "{") {
			all = append(all, registry.UpstreamHealth{Address: u.Dial, Healthy: u.Healthy(), Fails: u.Host.Fails()})
		}
	}
	return all
}

// Cleanup gives back what Provision took. It writes to no peer. Caddy does not
// wait for handshakes under way. So they keep their gate, which decides by the
// policy in force whether their tunnels may begin.
func (h *Handler) Cleanup() error {
	var err error
	h.cleanedUp.Do(func() {
		if h.engine != nil {
			err = h.engine.Cleanup()
		}
		if h.entry != nil {
			h.entry.Release()
		}
	})
	return err
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
