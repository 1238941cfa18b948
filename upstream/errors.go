package upstream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"

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
	// Stopped means that the process is about to exit, or that the gate has
	// closed. The error is a [*handshake.Stopped].
	Stopped Outcome = "stopped"
	// Aborted means that the client left.
	Aborted Outcome = "aborted"
	// Refused means that the backend gave another answer than 101, or one that
	// retry_match rejects.
	Refused Outcome = "upstream_refused"
)

// statusClientGone is what Caddy logs for a client that left.
const statusClientGone = 499

// Error is a handshake that no backend accepted.
type Error struct {
	// Status for the client; if answered, the backend's own.
	Status  int
	Outcome Outcome
	// Answered: the client has the backend's answer, or what handle_response
	// has made of it. Else nothing was written to it.
	Answered bool
	// Upstream is the one that was tried last, as the configuration has it.
	// Empty: none was.
	Upstream string
	// Cut: the client has only a part of the answer, which it learns when the
	// handler panics with [http.ErrAbortHandler], as reverse_proxy did.
	Cut bool
	// Err is the cause. If refused and not answered, it is what a route of
	// handle_response or retry_match says, for error routes.
	Err error

	secretive bool // its text may hold a part of the request
}

// Error says what went wrong, for the log: without Caddy's own trace around it,
// and without what a placeholder has taken from the request.
func (e *Error) Error() string {
	if e.secretive && !e.Answered && e.Outcome != Refused && !said(e.Err) {
		return unnamed(e.Err)
	}
	var he caddyhttp.HandlerError
	if errors.As(e.Err, &he) && he.Err != nil {
		return he.Err.Error()
	}
	return e.Err.Error()
}

// said reports whether an error is one of our own words.
func said(err error) bool {
	var lie *handshake.Lie
	return errors.As(err, &lie) || slices.ContainsFunc([]error{errNoHTTP, errTooLong, errLate, handshake.ErrExiting, context.Canceled}, func(own error) bool { return errors.Is(err, own) })
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// classify says what an error of the embedded handler means.
func (a *attempt) classify(err error) *Error {
	e := &Error{Status: http.StatusBadGateway, Outcome: Invalid, Err: err}
	var he caddyhttp.HandlerError
	if errors.As(err, &he) {
		if he.StatusCode < 200 || a.stream && accepts(he.StatusCode) { // retry_match rejects a 101 with its status
			he.StatusCode = http.StatusBadGateway
		}
		e.Status, e.Err = he.StatusCode, he
	}
	var dial reverseproxy.DialError
	var timeout net.Error
	var lie *handshake.Lie
	late := a.late()
	switch {
	case a.refused != 0:
		e.Outcome = Refused
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
