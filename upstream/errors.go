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

// Outcome names how a handshake ended after it had passed the gate.
type Outcome string

const (
	// Unreachable means that no backend could be reached, or that none is
	// available.
	Unreachable Outcome = "upstream_unreachable"
	// Timeout means that the backend did not answer in time.
	Timeout Outcome = "upstream_timeout"
	// Invalid means that the backend's answer was not HTTP, or was a 101 with a
	// false claim.
	Invalid Outcome = "upstream_invalid"
	// Stopped means that the process is about to exit, or that the gate has
	// closed. The error is a [*handshake.Stopped].
	Stopped Outcome = "stopped"
	// Aborted means that the client left.
	Aborted Outcome = "aborted"
	// Refused means that the backend gave an answer other than 101, or one that
	// retry_match rejects.
	Refused Outcome = "upstream_refused"
)

// statusClientGone is the status that Caddy logs for a client that left.
const statusClientGone = 499

// Error describes a handshake that no backend accepted.
type Error struct {
	// Status is the status for the client. If Answered is set, it is the
	// backend's own.
	Status  int
	Outcome Outcome
	// Answered is set if the client has the backend's answer, or the answer
	// that handle_response made of it. Otherwise nothing was written to the
	// client.
	Answered bool
	// Upstream is the last one that was tried, as the configuration has it.
	// Empty: none was tried.
	Upstream string
	// Cut is set if the client has only a part of the answer. The handler must
	// panic with [http.ErrAbortHandler], as reverse_proxy did, so that the
	// client notices.
	Cut bool
	// Err is the cause. If the handshake was refused and not answered, Err
	// comes from a route of handle_response or from retry_match, and is for
	// error routes.
	Err error

	hideErrors bool // the text may contain a part of the request
}

// Error returns the cause, for the log. It leaves out Caddy's own trace, and
// values that a placeholder took from the request.
func (e *Error) Error() string {
	if e.hideErrors && !e.Answered && e.Outcome != Refused && !isOwnError(e.Err) {
		return withoutNames(e.Err)
	}
	var he caddyhttp.HandlerError
	if errors.As(e.Err, &he) && he.Err != nil {
		return he.Err.Error()
	}
	return e.Err.Error()
}

// isOwnError reports whether the text of an error is wsgate's own.
func isOwnError(err error) bool {
	var claim *handshake.FalseClaim
	return errors.As(err, &claim) || slices.ContainsFunc([]error{errNoHTTP, errTooLong, errLate, handshake.ErrExiting, context.Canceled}, func(own error) bool { return errors.Is(err, own) })
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// classify returns what an error of the embedded handler means.
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
	var claim *handshake.FalseClaim
	late := a.late()
	switch {
	case a.refusedStatus != 0:
		e.Outcome = Refused
	case errors.As(a.failure, &claim):
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

// errLate is the error of a handshake whose time ended before the upstream
// answered.
var errLate = errors.New("no answer within handshake_timeout")
