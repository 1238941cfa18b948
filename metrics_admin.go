package wsgate

import "github.com/caddyserver/caddy/v2"

func init() {
	caddy.RegisterModule(new(metricsAPI))
}

// metricsAPI has no calls: it brings the collector into the registry of every
// configuration that Caddy tries. Its admin endpoint shows that of the newest
// one, also of one whose load has failed before our app was reached, and our
// series would be missing there until the next good load.
type metricsAPI struct{}

// CaddyModule returns the Caddy module information.
func (*metricsAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.wsgate_metrics",
		New: func() caddy.Module { return new(metricsAPI) },
	}
}

// Provision registers the collector.
func (*metricsAPI) Provision(ctx caddy.Context) error {
	return registerMetrics(ctx.GetMetricsRegistry())
}

// Routes returns none.
func (*metricsAPI) Routes() []caddy.AdminRoute { return nil }

// Interface guards
var (
	_ caddy.Provisioner = (*metricsAPI)(nil)
	_ caddy.AdminRouter = (*metricsAPI)(nil)
)
