package handshake

import (
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

const (
	// refusalIdleLimit is how long a client may read nothing while a refusal is
	// sent.
	refusalIdleLimit = 5 * time.Second
	// refusalTotalLimit is how long a client may take for a whole refusal if
	// Caddy's idle timeouts are off, so that only a fixed deadline can be set.
	refusalTotalLimit = 30 * time.Second
)

// LimitWrites makes sure that a client which does not read cannot hold up its
// handler. From now on a write ends with an error if the client reads nothing
// for 5 s. If Caddy's write_idle is off, all writes together may take 30 s. A
// shorter limit of Caddy's stays. The limit also holds for error routes.
func LimitWrites(w http.ResponseWriter, r *http.Request) {
	if _, writer := caddyhttp.IdleTimeoutsFromContext(r.Context()); writer != nil {
		if t := writer.Deadline.Timeout; t <= 0 || t > refusalIdleLimit {
			writer.Override(refusalIdleLimit, writer.Deadline.MinRate, 0)
		}
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(refusalTotalLimit)) // a writer without deadlines is not a network connection
}
