package wsgate

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/handshake"
	"github.com/wsgate/wsgate/internal/registry"
	"github.com/wsgate/wsgate/policy"
)

func init() {
	// The main thread is left to the main goroutine. The kernel gives signals to
	// it if it can, and one that hangs in a call to a dead storage takes none:
	// SIGTERM would go unheard.
	runtime.LockOSThread()
	caddy.RegisterModule(new(App))
	registry.AtShutdown(handshake.Exit)
	registry.AtClose(func(name string, v gate.Verdict) { handshake.Stop(name, &registry.ClosedError{Verdict: v}) })
	caddy.OnExit(func(context.Context) { registry.Shutdown() }) // of tunnels that no configuration of ours is left for
}

// App holds the gates of a configuration, and puts them in force. It is there
// without being configured as soon as a handler of wsgate is.
type App struct {
	// Gates defined once, for handlers that name them. A gate that no handler
	// names is allowed: it can be watched and switched, and carries nothing.
	Gates map[string]*policy.Policy `json:"gates,omitempty"`

	ctx caddy.Context

	mu       sync.Mutex // guards the fields below, while handlers are provisioned
	declared map[string]*policy.Policy
	servers  map[*caddyhttp.Server]bool // that a handler was seen in
	conf     *registry.Config
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "wsgate",
		New: func() caddy.Module { return new(App) },
	}
}

// Provision reads the gates. Nothing is in force before Start.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx = ctx
	a.declared = make(map[string]*policy.Policy)
	a.servers = make(map[*caddyhttp.Server]bool)
	a.conf = &registry.Config{
		Gates:     make(map[string]gate.Policy),
		Limits:    make(map[string]map[string]registry.LimitValues),
		Upstreams: make(map[string][]func() []registry.UpstreamHealth),
		Logger:    ctx.Logger(new(Handler)),
		Storage:   ctx.Storage(),
		By:        nodeName,
		Current:   a.current,
	}
	for name, p := range a.Gates {
		if !gate.ValidName(name) {
			return fmt.Errorf("gate name %q: want 1 to 64 letters, digits, '_', '.' or '-'", name)
		}
		if p == nil {
			p = new(policy.Policy)
		}
		policy, err := p.Provision(ctx)
		if err != nil {
			return fmt.Errorf("gate %q: %w", name, err)
		}
		if err := a.declare(name, p, policy); err != nil {
			return err
		}
	}
	var err error
	if a.conf.Emit, err = emitter(ctx); err != nil {
		return err
	}
	return registerMetrics(ctx.GetMetricsRegistry())
}

// nodeName names this node in records: by Caddy's own name for the instance.
// Empty where that cannot be read or made.
func nodeName() string {
	id, err := caddy.InstanceID()
	if err != nil {
		return ""
	}
	return id.String()
}

// declare notes what a gate is told. The same may be said twice.
func (a *App) declare(name string, p *policy.Policy, parsed gate.Policy) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if before := a.declared[name]; before != nil && !before.Empty() {
		if before.Same(p) || p.Empty() {
			return nil
		}
		return fmt.Errorf("gate %q is told different things: say it once, here or in the app's gates, or name another gate", name)
	}
	a.declared[name] = p
	a.conf.Gates[name] = parsed
	return nil
}

// first reports whether a server is seen for the first time.
func (a *App) first(s *caddyhttp.Server) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := a.servers[s]
	a.servers[s] = true
	return !seen
}

// policyOf returns what is known of a gate so far.
func (a *App) policyOf(name string) gate.Policy {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.conf.Gates[name]; !ok {
		a.conf.Gates[name] = gate.Policy{}
	}
	return a.conf.Gates[name]
}

// unnamed counts the handlers without a name, in all configurations.
var unnamed atomic.Int64

// limit notes a handler's limits, and returns the key that they are under: its
// name, by which the next configuration finds its tunnels. A handler may be
// there several times (a site on two ports), with the same limits; one without
// a name has a key of its own, which no other configuration has.
func (a *App) limit(gateName, name string, limits registry.LimitValues) (key string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	of := a.conf.Limits[gateName]
	if of == nil {
		of = make(map[string]registry.LimitValues)
		a.conf.Limits[gateName] = of
	}
	if name == "" {
		name = fmt.Sprintf("unnamed handler %d", unnamed.Add(1))
	}
	if before, twice := of[name]; twice && before != limits {
		return "", fmt.Errorf("gate %q: two handlers with the name %q have different limits: give each a name of its own", gateName, name)
	}
	of[name] = limits
	return name, nil
}

// watch notes whom to ask for a gate's upstreams.
func (a *App) watch(name string, upstreams func() []registry.UpstreamHealth) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conf.Upstreams[name] = append(a.conf.Upstreams[name], upstreams)
}

// current reports whether the load of this configuration has succeeded.
func (a *App) current() bool {
	app, err := caddy.ActiveContext().AppIfConfigured("wsgate")
	return err == nil && app == any(a)
}

// Start puts the configuration in force: its policies answer handshakes from
// now on. Until the previous configuration is stopped this can be taken back.
func (a *App) Start() error {
	registry.Begin(a.conf)
	return nil
}

// Stop takes the configuration out of force. When the process exits it ends
// all tunnels, which takes at most 3.2 s.
func (a *App) Stop() error {
	registry.End(a.conf)
	return nil
}

// Cleanup takes back a Start that Caddy did not Stop.
func (a *App) Cleanup() error {
	if a.conf != nil {
		registry.End(a.conf)
	}
	return nil
}

// Interface guards
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
