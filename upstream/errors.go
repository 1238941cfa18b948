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
)

// statusClientGone is what Caddy logs for a client that left.
const statusClientGone = 499

// Error is a handshake that no backend answered rightly. Nothing was written
// to the client.
type Error struct {
	Status  int
	Outcome Outcome
	Err     error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// OutcomeOf returns the outcome of an error of Handshake.
func OutcomeOf(err error) Outcome {
	var e *Error
	if errors.As(err, &e) {
		return e.Outcome
	}
	return Invalid
}

// classify says what an error of the embedded handler means. failure is what
// the transport said last.
func classify(err, failure error) error {
	e := &Error{Status: http.StatusBadGateway, Outcome: Invalid, Err: err}
	var he caddyhttp.HandlerError
	if errors.As(err, &he) && he.StatusCode != 0 {
		e.Status = he.StatusCode
	}
	var dial reverseproxy.DialError
	var timeout net.Error
	var lie *handshake.Lie
	switch {
	case errors.As(failure, &lie):
		e.Status = http.StatusBadGateway
	case errors.Is(err, context.DeadlineExceeded), errors.As(failure, &timeout) && timeout.Timeout():
		e.Status, e.Outcome = http.StatusGatewayTimeout, Timeout
	case errors.As(failure, &dial), failure == nil && e.Status == http.StatusServiceUnavailable:
		e.Outcome = Unreachable
	}
	return e
}
