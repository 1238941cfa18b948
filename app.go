package wsgate

import (
	"context"
	"crypto/rand"
	"fmt"
	"runtime"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/wsgate/wsgate/admin"
	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/handshake"
	"github.com/wsgate/wsgate/internal/registry"
	"github.com/wsgate/wsgate/policy"
)

func init() {
	// Leave the main thread to the main goroutine. The kernel delivers signals
	// to the main thread if it can. A main thread that hangs in a call to a
	// dead storage receives none, and SIGTERM would have no effect.
	runtime.LockOSThread()
	caddy.RegisterModule(new(App))
	registry.AtShutdown(handshake.Exit)
	registry.AtClose(func(name string, v gate.Verdict) { handshake.Stop(name, &registry.ClosedError{Verdict: v}) })
	caddy.OnExit(func(context.Context) { registry.Shutdown() }) // for tunnels whose last wsgate configuration is gone
}

// App holds the gates of a configuration, and puts them in force. Caddy loads
// the app as soon as one handler uses wsgate.
type App struct {
	// Gates that are defined once, for the handlers that name them. A gate that
	// no handler names is allowed: it can be watched and switched, and carries
	// nothing. Default: none.
	Gates map[string]*policy.Policy `json:"gates,omitempty"`

	ctx caddy.Context

	mu       sync.Mutex // guards the fields below, while handlers are provisioned
	declared map[string]*policy.Policy
	servers  map[*caddyhttp.Server]bool // that have a handler of ours
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
		Gates:       make(map[string]gate.Policy),
		Limits:      make(map[string]map[string]registry.LimitValues),
		Upstreams:   make(map[string][]func() []registry.UpstreamHealth),
		Logger:      ctx.Logger(new(Handler)),
		AdminLogger: ctx.Logger(new(admin.API)),
		Storage:     ctx.Storage(),
		By:          nodeName,
		Current:     a.isCurrent,
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

// nodeName returns this node's name in records: Caddy's own name for the
// instance. It is empty where Caddy cannot read or make that name.
func nodeName() string {
	id, err := caddy.InstanceID()
	if err != nil {
		return ""
	}
	return id.String()
}

// declare sets a gate's policy. Declaring the same policy twice is allowed.
func (a *App) declare(name string, p *policy.Policy, parsed gate.Policy) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if before := a.declared[name]; before != nil && !before.Empty() {
		if before.Same(p) || p.Empty() {
			return nil
		}
		return fmt.Errorf("gate %q has different policies: write the policy once, here or in the app's gates, or name another gate", name)
	}
	a.declared[name] = p
	a.conf.Gates[name] = parsed
	return nil
}

// markSeen notes a server, and reports whether it is the first time.
func (a *App) markSeen(s *caddyhttp.Server) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := a.servers[s]
	a.servers[s] = true
	return !seen
}

// policyOf returns a gate's policy as far as it is known.
func (a *App) policyOf(name string) gate.Policy {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.conf.Gates[name]; !ok {
		a.conf.Gates[name] = gate.Policy{}
	}
	return a.conf.Gates[name]
}

// setLimits stores a handler's limits, and returns their key. The key is the
// handler's name: by it the next configuration finds the handler's tunnels. A
// handler may occur several times (a site on two ports), with the same limits.
// A handler without a name gets a random key, which no other configuration has.
func (a *App) setLimits(gateName, name string, limits registry.LimitValues) (key string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	byName := a.conf.Limits[gateName]
	if byName == nil {
		byName = make(map[string]registry.LimitValues)
		a.conf.Limits[gateName] = byName
	}
	if name == "" {
		name = "unnamed handler " + rand.Text()
	}
	if before, twice := byName[name]; twice && before != limits {
		return "", fmt.Errorf("gate %q: two handlers with the name %q have different limits: give each a name of its own", gateName, name)
	}
	byName[name] = limits
	return name, nil
}

// addUpstreams adds a function that returns upstreams of a gate.
func (a *App) addUpstreams(name string, upstreams func() []registry.UpstreamHealth) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conf.Upstreams[name] = append(a.conf.Upstreams[name], upstreams)
}

// isCurrent reports whether the load of this configuration has succeeded.
func (a *App) isCurrent() bool {
	app, err := caddy.ActiveContext().AppIfConfigured("wsgate")
	return err == nil && app == any(a)
}

// Start puts the configuration in force: from now on its policies decide about
// handshakes. Until Caddy stops the previous configuration, this can be taken
// back.
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

// Cleanup takes back a Start that Caddy did not follow with a Stop.
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
