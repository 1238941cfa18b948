package upstream

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/wsgate/wsgate/internal/handshake"
)

// Outcome names how a handshake that reached for an upstream ended.
type Outcome string

const (
	// Unreachable means that no backend could be connected to, or none is available.
	Unreachable Outcome = "upstream_unreachable"
	// Timeout means that the backend did not answer in time.
	Timeout Outcome = "upstream_timeout"
	// Invalid means that the backend's answer was none, or a 101 with a false claim.
	Invalid Outcome = "upstream_invalid"
	// Aborted means that the client left.
	Aborted Outcome = "aborted"
	// Refused means that the backend gave another answer, which has gone to the
	// client.
	Refused Outcome = "upstream_refused"
)

// statusClientGone is what Caddy logs for a client that left.
const statusClientGone = 499

// Error is a handshake that no backend accepted. Nothing was written to the
// client, unless the outcome is [Refused].
type Error struct {
	// Status for the client; if refused, the backend's own.
	Status  int
	Outcome Outcome
	// Upstream is the one that was tried last, as the configuration has it.
	// Empty: none was.
	Upstream string
	// Cut: the client has only a part of the answer, which it learns when the
	// handler panics with [http.ErrAbortHandler], as reverse_proxy did.
	Cut bool
	Err error
}

// Error says what went wrong, for the log.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// classify says what an error of the embedded handler means.
func (a *attempt) classify(err error) *Error {
	e := &Error{Status: http.StatusBadGateway, Outcome: Invalid, Err: err}
	var he caddyhttp.HandlerError
	if errors.As(err, &he) {
		if he.StatusCode >= 200 { // retry_match rejects a 101 with its status
			e.Status = he.StatusCode
		}
		if he.Err != nil {
			e.Err = he.Err // without Caddy's own trace around it
		}
	}
	var dial reverseproxy.DialError
	var timeout net.Error
	var lie *handshake.Lie
	late := a.late()
	switch {
	case errors.As(a.failure, &lie):
		e.Status = http.StatusBadGateway
	case late, errors.Is(err, context.DeadlineExceeded), errors.As(a.failure, &timeout) && timeout.Timeout():
		e.Status, e.Outcome = http.StatusGatewayTimeout, Timeout
	case errors.As(a.failure, &dial), a.failure == nil && e.Status == http.StatusServiceUnavailable:
		e.Outcome = Unreachable
	}
	if late && e.Outcome == Timeout {
		e.Err = errLate
	}
	return e
}

// errLate says why a handshake ended before its upstream did.
var errLate = errors.New("no answer within handshake_timeout")
