// Package admin answers: what may an operator do? It has wsgate's calls on Caddy's
// admin endpoint; package command speaks to them from a terminal.
//
//	GET    /wsgate/gates          every gate, an array
//	GET    /wsgate/gates/{name}   one gate
//	POST   /wsgate/gates/{name}   the switch: {"mode":"off","reason":"…"}
//	GET    /wsgate/flags          every live flag, by name
//	GET    /wsgate/flags/{name}   one live flag
//	PUT    /wsgate/flags/{name}   {"value":"1"}
//	DELETE /wsgate/flags/{name}
//
// Access control is Caddy's: host and origin checks on the local endpoint,
// client certificates with paths and methods on the remote one. The paths are
// shaped for it: reading is GET, and one gate is one path.
//
// The package holds no state. Each request looks at the registry, so that a
// router that Caddy built for a configuration that failed to load answers as
// well as any other.
package admin
