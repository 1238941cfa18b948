package wsgate

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/events"
	"github.com/wsgate/wsgate/internal/registry"
)

func init() {
	// The log of switches has a listener of its own, because its sink may be
	// another one.
	events.Default.Listen(events.Listener{Wants: isLogged, Hear: writeLog, Missed: logMissed(registry.Logger), Again: true})
	events.Default.Listen(events.Listener{Wants: isAdminLogged, Hear: writeLog, Missed: logMissed(registry.AdminLogger), Again: true})
	events.Default.Listen(events.Listener{Wants: isEmitted, Hear: emit, Missed: emitMissed, Bound: emitBound})
	caddy.OnExit(flushLog)
}

// flushWait is how long an exit waits until the last refusals are logged.
const flushWait = 300 * time.Millisecond

func flushLog(context.Context) {
	ctx, cancel := context.WithTimeout(context.Background(), flushWait)
	defer cancel()
	events.Default.Flush(ctx)
}

// isLogged reports whether the configuration in force logs an event as
// http.handlers.wsgate.
func isLogged(e events.Event) bool {
	level := zapcore.InfoLevel
	if line, ok := e.What.(registry.Line); ok {
		if line.Admin {
			return false
		}
		level = line.Level
	}
	return registry.Logger().Core().Enabled(level)
}

// isAdminLogged reports whether the configuration in force logs an event as
// admin.api.wsgate.
func isAdminLogged(e events.Event) bool {
	line, ok := e.What.(registry.Line)
	return ok && line.Admin && registry.AdminLogger().Core().Enabled(line.Level)
}

// writeLog logs what happened, through the configuration in force. It never
// sees a payload, a header or a query string.
func writeLog(e events.Event) {
	switch what := e.What.(type) {
	case registry.Line:
		logger := registry.Logger()
		if what.Admin {
			logger = registry.AdminLogger()
		}
		write(e, logger, what.Level, what.Message, what.Fields)
	case registry.GateChanged:
		info(e, "gate changed", changeFields(e.Gate, what))
	case registry.SwitchFound:
		info(e, "stored switch in force", foundFields(e.Gate, what))
	case registry.DrainFinished:
		info(e, "drain finished", []zap.Field{
			zap.String("gate", e.Gate), zap.Int("told", what.Told), zap.Duration("duration", what.Took),
		})
	case registry.TunnelOpened:
		info(e, "tunnel opened", tunnelFields(what.TunnelInfo))
	case registry.TunnelClosed:
		info(e, "tunnel closed", closedFields(what))
	case refused:
		info(e, "handshake refused", what.fields(e.Gate))
	}
}

// info writes a line of http.handlers.wsgate.
func info(e events.Event, message string, fields []zap.Field) {
	write(e, registry.Logger(), zapcore.InfoLevel, message, fields)
}

// write writes a line with the time of the event.
func write(e events.Event, logger *zap.Logger, level zapcore.Level, message string, fields []zap.Field) {
	entry := logger.Check(level, message)
	if entry == nil {
		return
	}
	entry.Time = e.At
	entry.Write(againField(fields, e.Again)...)
}

// againField marks a line that another sink may have, too: wsgate has given that
// sink up while it took the line.
func againField(fields []zap.Field, again bool) []zap.Field {
	if !again {
		return fields
	}
	return append(slices.Clip(fields), zap.Bool("again", true))
}

// logMissed returns a function that logs how many lines are missing because the
// log was too slow.
func logMissed(logger func() *zap.Logger) func(events.Missed) {
	return func(m events.Missed) {
		message, fields := "lines of the log were missed, it is too slow", []zap.Field{zap.Int("missed", m.Count)}
		if m.Gate != "" {
			message = "switches are in no line of the log, it is too slow"
			fields = append(fields, zap.String("gate", m.Gate), zap.Time("first", m.First), zap.Time("last", m.Last))
		}
		logger().Warn(message, againField(fields, m.Again)...)
	}
}

func changeFields(gateName string, c registry.GateChanged) []zap.Field {
	fields := []zap.Field{
		zap.String("gate", gateName), zap.String("state", stateWord(c.Snapshot.Open)),
		zap.String("cause", string(c.Snapshot.Cause)), zap.String("reason", c.Snapshot.Reason),
	}
	if c.Snapshot.Override != nil || c.Actor != "" || c.From != "" {
		fields = append(fields, zap.String("actor", c.Actor), zap.String("from", c.From))
	}
	if !c.Snapshot.Until.IsZero() {
		fields = append(fields, zap.Time("until", c.Snapshot.Until))
	}
	return fields
}

func foundFields(gateName string, s registry.SwitchFound) []zap.Field {
	fields := []zap.Field{
		zap.String("gate", gateName), zap.String("mode", string(s.Mode)), zap.String("reason", s.Reason),
		zap.String("actor", s.Actor), zap.String("from", s.From),
	}
	if !s.At.IsZero() { // an older record may have no time
		fields = append(fields, zap.Time("at", s.At))
	}
	if !s.Expires.IsZero() {
		fields = append(fields, zap.Time("expires", s.Expires))
	}
	return fields
}

func tunnelFields(t registry.TunnelInfo) []zap.Field {
	return []zap.Field{
		zap.String("gate", t.Gate), zap.String("tunnel_id", t.ID.String()),
		zap.String("client_ip", clientText(t.ClientIP)), zap.String("upstream", t.Upstream),
	}
}

func closedFields(t registry.TunnelClosed) []zap.Field {
	fields := append(tunnelFields(t.TunnelInfo),
		zap.Duration("duration", t.Duration),
		zap.Int64("bytes_up", t.BytesUp), zap.Int64("bytes_down", t.BytesDown),
		zap.Int64("messages_up", t.MessagesUp), zap.Int64("messages_down", t.MessagesDown),
		zap.String("closed_by", string(t.By)),
	)
	if t.Code != 0 {
		fields = append(fields, zap.Uint16("close_code", t.Code), zap.String("close_reason", t.Reason))
	}
	if t.Err != nil {
		fields = append(fields, zap.Error(t.Err))
	}
	return fields
}

// refused is the event of a refused handshake.
type refused struct {
	clientIP string
	upstream string // empty: none was asked
	outcome  string
	status   int          // that the client got; 0: none
	verdict  gate.Verdict // of a closed gate
	err      error
	took     time.Duration
}

func (r refused) fields(gateName string) []zap.Field {
	fields := []zap.Field{
		zap.String("gate", gateName), zap.String("client_ip", r.clientIP),
		zap.String("outcome", r.outcome), zap.Int("status", r.status), zap.Duration("duration", r.took),
	}
	if r.upstream != "" {
		fields = append(fields, zap.String("upstream", r.upstream))
	}
	if r.outcome == outcomeClosed {
		fields = append(fields, zap.String("cause", string(r.verdict.Cause)), zap.String("reason", r.verdict.Reason))
		if !r.verdict.Until.IsZero() {
			fields = append(fields, zap.Time("until", r.verdict.Until))
		}
	} else if r.err != nil {
		fields = append(fields, zap.String("reason", r.err.Error()))
	}
	return fields
}

func stateWord(open bool) string {
	if open {
		return string(gate.Open)
	}
	return string(gate.Closed)
}

// clientText returns a client's address for logs. Empty: unknown.
func clientText(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	return ip.String()
}
