// Package admin answers: what may an operator do? It has wsgate's calls on
// Caddy's admin endpoint. Package command makes these calls from a terminal.
//
//	GET    /wsgate/gates          every gate, an array
//	GET    /wsgate/gates/{name}   one gate
//	POST   /wsgate/gates/{name}   the switch: {"mode":"off","reason":"…"}
//	GET    /wsgate/flags          every live flag, by name
//	GET    /wsgate/flags/{name}   one live flag
//	PUT    /wsgate/flags/{name}   {"value":"1"}
//	DELETE /wsgate/flags/{name}
//
// Caddy controls the access: by host and origin on the local endpoint, by
// client certificates with paths and methods on the remote one. The paths are
// made for that: a GET only reads, and each gate has one path.
//
// The package holds no state: each request asks the registry. So the answers
// are right even if Caddy built the router for a configuration whose load
// failed.
package admin
