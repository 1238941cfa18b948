// Command caddy is Caddy with its standard modules and wsgate compiled in.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/wsgate/wsgate"
)

func main() {
	caddycmd.Main()
}
