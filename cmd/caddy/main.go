// Command caddy is Caddy with its standard modules, wsgate, and the chat server
// of examples/chat compiled in.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/wsgate/wsgate"
	_ "github.com/wsgate/wsgate/examples/chat/backend"
)

func main() {
	caddycmd.Main()
}
