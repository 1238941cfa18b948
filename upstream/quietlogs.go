package upstream

import (
	"encoding/json"
	"errors"
	"net"
	"reflect"
	"regexp"
	"unsafe"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// errLoggerUnknown refuses a version of Caddy that wsgate cannot keep from
// logging secrets.
var errLoggerUnknown = errors.New("this version of Caddy is not supported: its reverse_proxy keeps its logger where wsgate does not find it, and would write whole requests to the log; see the versions that were tested in the README")

// quietLogs keeps requests out of the lines that the embedded reverse_proxy
// logs under our name: query strings, header fields and tokens included. Caddy
// gives no other access to this logger, and a Caddy that keeps it in another
// place is refused. If the handler takes values from requests, its error texts
// are left out too, because they may contain these values.
func quietLogs(h *reverseproxy.Handler, hideErrors bool) error {
	field := reflect.ValueOf(h).Elem().FieldByName("logger")
	if !field.IsValid() || field.Type() != reflect.TypeFor[*zap.Logger]() || !field.CanAddr() {
		return errLoggerUnknown
	}
	logger := (**zap.Logger)(unsafe.Pointer(field.UnsafeAddr())) //nolint:gosec // the type was just looked at
	if *logger != nil {
		*logger = (*logger).WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return requestFilter{c, hideErrors} }))
	}
	return nil
}

// requestFilter is a log core that leaves out requests, and all DEBUG lines.
type requestFilter struct {
	zapcore.Core
	hideErrors bool
}

// Enabled reports whether a level is logged.
func (c requestFilter) Enabled(l zapcore.Level) bool {
	return l > zapcore.DebugLevel && c.Core.Enabled(l)
}

// With adds the fields that may be logged.
func (c requestFilter) With(fields []zapcore.Field) zapcore.Core {
	return requestFilter{c.Core.With(c.loggable(fields)), c.hideErrors}
}

// Check adds the core to an entry that it logs.
func (c requestFilter) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return to.AddCore(e, c)
	}
	return to
}

// Write writes the fields that may be logged.
func (c requestFilter) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if to := c.Core.Check(e, nil); to != nil { // each of several logs has its own level
		to.Write(c.loggable(fields)...)
	}
	return nil
}

// loggable returns the fields without those that hold a request, or may hold a
// part of one.
func (c requestFilter) loggable(fields []zapcore.Field) []zapcore.Field {
	keep := make([]zapcore.Field, 0, len(fields))
	for _, f := range fields {
		switch {
		case f.Key == "request", f.Key == "headers":
		case c.hideErrors && f.Type == zapcore.ErrorType:
		default:
			keep = append(keep, f)
		}
	}
	return keep
}

// placeholder matches one in a JSON text, where objects begin with a quote.
var placeholder = regexp.MustCompile(`\{[^{}"\s]+\}`)

// hasPlaceholders reports whether the upstreams or the transport of a handler
// have placeholders. Their values may be secret, and network errors contain
// them.
func hasPlaceholders(h *reverseproxy.Handler, transport json.RawMessage) bool {
	for _, u := range h.Upstreams {
		if placeholder.MatchString(u.Dial) {
			return true
		}
	}
	return placeholder.Match(h.DynamicUpstreamsRaw) || placeholder.Match(transport)
}

// withoutNames returns the text of an error without the names in it.
func withoutNames(err error) string {
	var lookup *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(err, &lookup):
		return "looking the upstream up: " + lookup.Err
	case errors.As(err, &op):
		if inner := errors.Unwrap(op.Err); inner != nil {
			return op.Op + ": " + inner.Error()
		}
		return op.Op + " failed"
	}
	return "the upstream that the request names cannot be reached"
}
