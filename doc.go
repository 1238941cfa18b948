// Package wsgate is a Caddy module that carries WebSocket connections. An
// operator can open, close, schedule, drain and watch them while they run: no
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
// goes to an upstream, through Caddy's own reverse_proxy, which is embedded.
// When the backend answers 101, the two connections become a tunnel. The tunnel
// belongs to the gate, not to the configuration. Any other request goes to the
// next handler.
//
// The files follow a handshake: caddyfile.go, global.go, names.go and module.go
// read the configuration; serve.go and errorroutes.go serve one request; app.go
// puts the configuration in force and takes it back; observe.go, emit.go and
// metrics.go report what happened.
package wsgate
