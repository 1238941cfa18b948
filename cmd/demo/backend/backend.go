// Package backend is the chat server of the example as a handler of Caddy, so
// that one command shows the whole: page, gate and server. It is compiled into
// cmd/demo and into nothing else.
//
// A room is known by its name in the whole process: two chat_backend handlers
// with the same name are two servers of one room, and a reload empties none.
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

// Provision names the room.
func (h *Handler) Provision(caddy.Context) error {
	if h.Room == "" {
		h.Room = "lobby"
	}
	return nil
}

// ServeHTTP lets one client into the room until it leaves.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	// Who may connect is the gate's affair; the Host here is the backend's.
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
