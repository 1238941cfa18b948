package handshake

import (
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

const (
	// refusalPatience is how long a client may take none of a refusal.
	refusalPatience = 5 * time.Second
	// refusalLimit is how long it may take for all of it, where Caddy's own idle
	// timeouts are off and only a moment can be set.
	refusalLimit = 30 * time.Second
)

// Patient bounds how long a client may take none of what is written to it from
// now on, by this handler or by error routes behind it: 5 s, or where Caddy's
// write_idle is off 30 s for all. A shorter limit of Caddy's stays.
func Patient(w http.ResponseWriter, r *http.Request) {
	if _, writer := caddyhttp.IdleTimeoutsFromContext(r.Context()); writer != nil {
		if t := writer.Deadline.Timeout; t <= 0 || t > refusalPatience {
			writer.Override(refusalPatience, writer.Deadline.MinRate, 0)
		}
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(refusalLimit)) // a writer that cannot is none of a network
}
