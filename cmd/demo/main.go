// Command demo is Caddy with its standard modules and wsgate, as in cmd/caddy,
// and with the chat server of examples/chat. So one command shows everything.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/wsgate/wsgate"
	_ "github.com/wsgate/wsgate/cmd/demo/backend"
)

func main() {
	caddycmd.Main()
}
