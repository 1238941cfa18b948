package matchers

import (
	"net/http"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/wsgate/wsgate/internal/handshake"
)

func init() {
	caddy.RegisterModule(new(WSHandshake))
}

// WSHandshake matches WebSocket opening handshakes. On HTTP/1.1 that is a
// request whose `Upgrade` names `websocket`. On HTTP/2 and HTTP/3 it is an
// extended CONNECT with that protocol, which no `header` matcher can see.
type WSHandshake struct{}

// CaddyModule returns the Caddy module information.
func (*WSHandshake) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.matchers.ws_handshake",
		New: func() caddy.Module { return new(WSHandshake) },
	}
}

// Match reports whether the request is an opening handshake.
func (*WSHandshake) Match(r *http.Request) bool { return handshake.Is(r) }

// MatchWithError is Match; it never fails.
func (m *WSHandshake) MatchWithError(r *http.Request) (bool, error) { return m.Match(r), nil }

// UnmarshalCaddyfile reads `ws_handshake`, which takes no arguments.
func (*WSHandshake) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	for d.Next() {
		if d.NextArg() {
			return d.Errf("ws_handshake takes no arguments, got %q", d.Val())
		}
		if d.NextBlock(d.Nesting()) {
			return d.Err("ws_handshake takes no block")
		}
	}
	return nil
}

// CELLibrary adds the function ws_handshake() to expressions. Caddy's own
// helper needs an argument, so the macro adds an empty one.
func (m *WSHandshake) CELLibrary(caddy.Context) (cel.Library, error) {
	const function = "ws_handshake_request"
	factory := func(ref.Val) (caddyhttp.RequestMatcherWithError, error) { return m, nil }
	macro := cel.GlobalMacro("ws_handshake", 0, func(f cel.MacroExprFactory, _ ast.Expr, _ []ast.Expr) (ast.Expr, *common.Error) {
		return f.NewCall(function, f.NewIdent(caddyhttp.CELRequestVarName), f.NewLiteral(types.String(""))), nil
	})
	return caddyhttp.NewMatcherCELLibrary(
		[]cel.EnvOption{
			cel.Macros(macro),
			cel.Function(function,
				cel.Overload(function, []*cel.Type{cel.ObjectType("http.Request"), cel.StringType}, cel.BoolType),
				cel.SingletonBinaryBinding(caddyhttp.CELMatcherRuntimeFunction(function, factory))),
		},
		[]cel.ProgramOption{cel.CustomDecorator(caddyhttp.CELMatcherDecorator(function, factory))},
	), nil
}

// Interface guards
var (
	_ caddyfile.Unmarshaler             = (*WSHandshake)(nil)
	_ caddyhttp.RequestMatcherWithError = (*WSHandshake)(nil)
	_ caddyhttp.CELLibraryProducer      = (*WSHandshake)(nil)
)
