// Package wsgate is a Caddy module that carries WebSocket connections and lets
// an operator open, close, schedule, drain and watch them while they run: no
// reload, no restart, no tunnel lost by accident.
//
//	chat.example.com {
//		wsgate /ws/* ws://127.0.0.1:8080/ {
//			gate      chat
//			open_when time_window 09:00-18:00 mon-fri Asia/Tokyo
//			closing   drain 60s code 1013 "closed for the night"
//		}
//		reverse_proxy localhost:3000
//	}
//
// An opening handshake (RFC 6455, RFC 8441, RFC 9220) that meets an open gate
// is passed to an upstream by Caddy's own reverse_proxy, embedded; when the
// backend says 101 the two connections become a tunnel that belongs to the
// gate, not to the configuration. Anything else goes to the next handler.
//
// The files follow a handshake: caddyfile*.go and module.go take the
// configuration in, serve.go takes one request through, app.go puts the whole
// in force and takes it back, log.go and metrics.go say what happened.
package wsgate
