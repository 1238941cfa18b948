package registry

import (
	"net/netip"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/events"
	"github.com/wsgate/wsgate/tunnel"
)

// The values that the registry publishes in [events.Event.What].
type (
	// GateChanged is published when a gate opens or closes.
	GateChanged struct {
		Snapshot *gate.Snapshot
		// Actor and From name the operator whose switch changed the gate, also
		// a switch to auto. Empty: there was none, or it gave no name.
		Actor, From string
	}

	// SwitchFound is published when a stored switch was read and put in force.
	SwitchFound struct{ *gate.Override }

	// DrainFinished is published when the last tunnel of a drain is gone.
	DrainFinished struct {
		// Told is the number of its tunnels.
		Told int
		// Took is the time since the gate closed.
		Took time.Duration
	}

	// TunnelOpened is published when a tunnel opens.
	TunnelOpened struct{ TunnelInfo }

	// TunnelClosed is published when a tunnel has ended.
	TunnelClosed struct {
		TunnelInfo
		tunnel.Result
	}

	// Line is published for the log alone.
	Line struct {
		// Admin marks a line of the logger admin.api.wsgate. The other lines are
		// of http.handlers.wsgate.
		Admin   bool
		Level   zapcore.Level
		Message string
		Fields  []zap.Field
	}
)

// TunnelInfo names a tunnel.
type TunnelInfo struct {
	ID       TunnelID
	Gate     string
	ClientIP netip.Addr
	Upstream string
}

// publish publishes an event whose loss does no harm.
func publish(gateName string, what any) {
	events.Default.Publish(events.Event{Gate: gateName, What: what})
}

// publishState publishes a change of a gate's state. A listener that misses
// several gets the last one late.
func publishState(gateName string, what any) {
	events.Default.Publish(events.Event{Gate: gateName, Lasting: true, What: what})
}

// logLine publishes a line of the http.handlers.wsgate log.
func logLine(level zapcore.Level, message string, fields ...zap.Field) {
	Log(Line{Level: level, Message: message, Fields: fields})
}

// Log publishes a line for the log. It does not wait for the log.
func Log(l Line) { publish("", l) }

// LogSwitch publishes the line of an operator's switch. A log that misses it
// gets it late.
func LogSwitch(gateName string, l Line) {
	events.Default.Publish(events.Event{Gate: gateName, Switch: true, What: l})
}
