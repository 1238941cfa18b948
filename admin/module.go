package admin

import (
	"github.com/caddyserver/caddy/v2"
)

func init() {
	caddy.RegisterModule(new(API))
}

// API serves wsgate's calls on Caddy's admin endpoint. It has no configuration:
// Caddy serves it whenever wsgate is compiled in and the admin endpoint is on.
// See docs/admin-api.md.
type API struct{}

// CaddyModule returns the Caddy module information.
func (*API) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.wsgate",
		New: func() caddy.Module { return new(API) },
	}
}

// Routes returns one route for each path and all methods: the mux's own "method
// not allowed" is plain text, and ours names the right methods. The patterns
// are static because Caddy makes a metric label of each.
func (*API) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: "/wsgate/gates", Handler: endpoint{"GET": listGates}},
		{Pattern: "/wsgate/gates/{name}", Handler: endpoint{"GET": getGate, "POST": switchGate}},
		{Pattern: "/wsgate/flags", Handler: endpoint{"GET": listFlags}},
		{Pattern: "/wsgate/flags/{name}", Handler: endpoint{"GET": getFlag, "PUT": putFlag, "DELETE": deleteFlag}},
		{Pattern: "/wsgate/", Handler: caddy.AdminHandlerFunc(noSuchCall)},
		{Pattern: "/wsgate", Handler: caddy.AdminHandlerFunc(noSuchCall)},
	}
}

// Interface guards
var (
	_ caddy.Module      = (*API)(nil)
	_ caddy.AdminRouter = (*API)(nil)
)
