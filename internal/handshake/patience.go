package handshake

import (
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

const (
	// refusalPatience is how long a client may read nothing of a refusal.
	refusalPatience = 5 * time.Second
	// refusalLimit is how long a client may take for a whole refusal if Caddy's
	// idle timeouts are off, so that only a fixed deadline can be set.
	refusalLimit = 30 * time.Second
)

// Patient limits how long a client may read nothing of what is written to it
// from now on, by this handler or by error routes after it: 5 s. If Caddy's
// write_idle is off, the limit is 30 s for everything. A shorter limit of
// Caddy's stays.
func Patient(w http.ResponseWriter, r *http.Request) {
	if _, writer := caddyhttp.IdleTimeoutsFromContext(r.Context()); writer != nil {
		if t := writer.Deadline.Timeout; t <= 0 || t > refusalPatience {
			writer.Override(refusalPatience, writer.Deadline.MinRate, 0)
		}
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(refusalLimit)) // a writer without deadlines is not a network connection
}
