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

// errLoggerUnknown refuses a Caddy that could not be kept from logging secrets.
var errLoggerUnknown = errors.New("this version of Caddy is not supported: its reverse_proxy keeps its logger where wsgate does not find it, and would write whole requests to the log; see the versions that were tested in the README")

// quietLogs keeps requests out of what the embedded reverse_proxy logs under our
// name: query strings, header fields and tokens included. There is no other way
// to its logger; a Caddy that keeps it elsewhere is refused. A handler that
// takes values out of requests loses its error texts, too: they may name them.
func quietLogs(h *reverseproxy.Handler, secretive bool) error {
	field := reflect.ValueOf(h).Elem().FieldByName("logger")
	if !field.IsValid() || field.Type() != reflect.TypeFor[*zap.Logger]() || !field.CanAddr() {
		return errLoggerUnknown
	}
	logger := (**zap.Logger)(unsafe.Pointer(field.UnsafeAddr())) //nolint:gosec // the type was just looked at
	if *logger != nil {
		*logger = (*logger).WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return discreet{c, secretive} }))
	}
	return nil
}

// discreet is a log core that leaves requests out, and all of DEBUG.
type discreet struct {
	zapcore.Core
	secretive bool
}

// Enabled reports whether a level is logged.
func (c discreet) Enabled(l zapcore.Level) bool {
	return l > zapcore.DebugLevel && c.Core.Enabled(l)
}

// With adds what may be told.
func (c discreet) With(fields []zapcore.Field) zapcore.Core {
	return discreet{c.Core.With(c.told(fields)), c.secretive}
}

// Check adds the core to an entry that it logs.
func (c discreet) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return to.AddCore(e, c)
	}
	return to
}

// Write writes what may be told.
func (c discreet) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if to := c.Core.Check(e, nil); to != nil { // of several logs each has its own level
		to.Write(c.told(fields)...)
	}
	return nil
}

// told leaves out what holds a request, or may hold a part of one.
func (c discreet) told(fields []zapcore.Field) []zapcore.Field {
	keep := make([]zapcore.Field, 0, len(fields))
	for _, f := range fields {
		switch {
		case f.Key == "request", f.Key == "headers":
		case c.secretive && f.Type == zapcore.ErrorType:
		default:
			keep = append(keep, f)
		}
	}
	return keep
}

// placeholder is one in a JSON text, where objects begin with a quote.
var placeholder = regexp.MustCompile(`\{[^{}"\s]+\}`)

// takesFromRequests reports whether a handler has placeholders where it says to
// whom and how: their values may be secret, and errors of the network name them.
func takesFromRequests(h *reverseproxy.Handler, transport json.RawMessage) bool {
	for _, u := range h.Upstreams {
		if placeholder.MatchString(u.Dial) {
			return true
		}
	}
	return placeholder.Match(h.DynamicUpstreamsRaw) || placeholder.Match(transport)
}

// unnamed says what an error is without the names in it.
func unnamed(err error) string {
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
