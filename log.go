package wsgate

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/registry"
	"github.com/wsgate/wsgate/tunnel"
)

// reporter says what happens, in logs and metrics, through the configuration
// in force. It never sees a payload, a header or a query string.
type reporter struct{}

// GateChanged logs and counts a gate that opened or closed.
func (reporter) GateChanged(c registry.Change) {
	to := stateWord(c.Snapshot.Open)
	changesTotal.WithLabelValues(c.Gate, to, string(c.Snapshot.Cause)).Inc()
	fields := []zap.Field{
		zap.String("gate", c.Gate), zap.String("state", to),
		zap.String("cause", string(c.Snapshot.Cause)), zap.String("reason", c.Snapshot.Reason),
	}
	if c.Snapshot.Override != nil || c.Actor != "" || c.From != "" {
		fields = append(fields, zap.String("actor", c.Actor), zap.String("from", c.From))
	}
	if !c.Snapshot.Until.IsZero() {
		fields = append(fields, zap.Time("until", c.Snapshot.Until))
	}
	registry.Logger().Info("gate changed", fields...)
}

// TunnelOpened logs a tunnel that began.
func (reporter) TunnelOpened(t registry.TunnelInfo) {
	if logger := registry.Logger(); logger.Core().Enabled(zapcore.InfoLevel) {
		logger.Info("tunnel opened", tunnelFields(t)...)
	}
}

// TunnelClosed logs and counts a tunnel that ended.
func (reporter) TunnelClosed(t registry.TunnelInfo, res tunnel.Result) {
	closedTotal.WithLabelValues(t.Gate, string(res.By), codeLabel(res.Code)).Inc()
	tunnelSeconds.WithLabelValues(t.Gate).Observe(res.Duration.Seconds())
	logger := registry.Logger()
	if !logger.Core().Enabled(zapcore.InfoLevel) { // asked first: Check makes a small stack grow
		return
	}
	fields := append(tunnelFields(t),
		zap.Duration("duration", res.Duration),
		zap.Int64("bytes_up", res.BytesUp), zap.Int64("bytes_down", res.BytesDown),
		zap.Int64("messages_up", res.MessagesUp), zap.Int64("messages_down", res.MessagesDown),
		zap.String("closed_by", string(res.By)),
	)
	if res.Code != 0 {
		fields = append(fields, zap.Uint16("close_code", res.Code), zap.String("close_reason", res.Reason))
	}
	if res.Err != nil {
		fields = append(fields, zap.Error(res.Err))
	}
	logger.Info("tunnel closed", fields...)
}

func tunnelFields(t registry.TunnelInfo) []zap.Field {
	return []zap.Field{
		zap.String("gate", t.Gate), zap.String("tunnel_id", t.ID.String()),
		zap.String("client_ip", clientText(t.ClientIP)), zap.String("upstream", t.Upstream),
	}
}

// refused is a handshake that was told no.
type refused struct {
	gate, clientIP string
	upstream       string // empty: none was asked
	outcome        string
	status         int          // the client's; 0: it got none
	verdict        gate.Verdict // of a closed gate
	err            error
	took           time.Duration
}

// report logs and counts a refusal.
func (r refused) report() {
	handshakesTotal.WithLabelValues(r.gate, r.outcome).Inc()
	e := registry.Logger().Check(zapcore.InfoLevel, "handshake refused")
	if e == nil {
		return
	}
	fields := []zap.Field{
		zap.String("gate", r.gate), zap.String("client_ip", r.clientIP),
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
	e.Write(fields...)
}

func stateWord(open bool) string {
	if open {
		return string(gate.Open)
	}
	return string(gate.Closed)
}
