// Package backend is the chat server of the example as a handler of Caddy. So
// one command runs everything: page, gate and server. Only cmd/demo has it.
//
// The package has a process-wide variable, rooms: the rooms by their names. So
// two chat_backend handlers with the same name serve one room, and a reload
// keeps the people in it.
package backend

import (
	"context"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/coder/websocket"
)

const (
	maxMessage   = 4 << 10
	writeTimeout = 5 * time.Second
)

func init() {
	caddy.RegisterModule(new(Handler))
	httpcaddyfile.RegisterHandlerDirective("chat_backend", parse)
	httpcaddyfile.RegisterDirectiveOrder("chat_backend", httpcaddyfile.Before, "respond")
}

// Handler is a chat server.
type Handler struct {
	// The room's name. Default: `lobby`.
	Room string `json:"room,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.chat_backend",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision sets the default name of the room.
func (h *Handler) Provision(caddy.Context) error {
	if h.Room == "" {
		h.Room = "lobby"
	}
	return nil
}

// ServeHTTP lets one client into the room until it leaves.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	// The gate decides who may connect. The Host is that of the backend here,
	// so the check of Origin would fail.
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return nil // Accept has answered
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxMessage)
	// The request's context ends with its server; the tunnel does not.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	room := roomOf(h.Room)
	member := room.join()
	defer room.leave(member)
	go func() {
		defer cancel()
		member.write(ctx, conn)
	}()
	for {
		_, data, err := conn.Read(ctx)
		if err != nil {
			return nil
		}
		room.say(data)
	}
}

// parse reads `chat_backend [<room>]`.
func parse(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := new(Handler)
	return handler, handler.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads `chat_backend [<room>]`.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		h.Room = d.Val()
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ caddyfile.Unmarshaler       = (*Handler)(nil)
)
