package upstream

import (
	"reflect"
	"unsafe"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// quietLogs keeps the embedded reverse_proxy's debug lines out of the log: at
// that level it writes whole requests down, query strings and tokens included,
// and does so under our name. There is no other way to its logger; a Caddy that
// keeps it elsewhere is noticed by a test.
func quietLogs(h *reverseproxy.Handler) bool {
	field := reflect.ValueOf(h).Elem().FieldByName("logger")
	if !field.IsValid() || field.Type() != reflect.TypeFor[*zap.Logger]() {
		return false
	}
	logger := (**zap.Logger)(unsafe.Pointer(field.UnsafeAddr()))        //nolint:gosec // the type was just looked at
	if *logger != nil && (*logger).Core().Enabled(zapcore.DebugLevel) { // zap complains where nothing is to be raised
		*logger = (*logger).WithOptions(zap.IncreaseLevel(zapcore.InfoLevel))
	}
	return true
}
