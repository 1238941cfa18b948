// Package h2 turns WebSocket over HTTP/2 (RFC 8441) on for the whole process.
//
// Go has it off by default, because a browser that may use it does so on every
// site of the server, and handlers that only know Upgrade break then. Import
// it into a build of Caddy, or set GODEBUG=http2xconnect=1 in the environment:
//
//	xcaddy build --with github.com/wsgate/wsgate --with github.com/wsgate/wsgate/h2
//
// golang.org/x/net/http2 reads the variable when it is initialised. This
// package imports only os, so that it is initialised before.
package h2

import "os"

func init() {
	const setting = "http2xconnect=1"
	if old := os.Getenv("GODEBUG"); old == "" {
		_ = os.Setenv("GODEBUG", setting)
	} else {
		_ = os.Setenv("GODEBUG", old+","+setting)
	}
}
