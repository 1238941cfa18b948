package registry

import (
	"encoding/json"
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

	// Switched is published when an operator switches a gate.
	Switched struct {
		// Mode is the new mode.
		Mode                gate.Mode
		Reason, Actor, From string
		At                  time.Time
		// Expires is when the switch ends. Zero: never.
		Expires time.Time
		// Recalled marks a switch that the listener missed when it happened.
		Recalled bool
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
		// Logger is the name of its logger. Empty: the logger of the
		// configuration in force.
		Logger  string
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

// publishState publishes a change of a gate's state. If a listener misses it,
// the state is recalled. record is the seq of the switch's record. Zero: there
// is none.
func publishState(gateName string, record uint64, what any) {
	events.Default.Publish(events.Event{Gate: gateName, Lasting: true, Switch: record, What: what})
}

// logLine publishes a line of the http.handlers.wsgate log.
func logLine(level zapcore.Level, message string, fields ...zap.Field) {
	Log(Line{Level: level, Message: message, Fields: fields})
}

// Log publishes a line for the log. It does not wait for the log.
func Log(l Line) { publish("", l) }

func init() {
	events.Default.SetRecaller(func(name string, from uint64) []events.Event { return reg.recall(name, from) })
}

// recall returns the switches of a gate from a seq on, as far as the ledger
// knows them, and the gate's state.
func (r *registry) recall(name string, from uint64) (missed []events.Event) {
	if from > 0 {
		for _, record := range r.ledger.History(gatesPrefix + name) {
			var o overrideRecord
			if record.Seq < from || json.Unmarshal(record.Value, &o) != nil {
				continue
			}
			s := o.switched()
			s.Recalled = true
			missed = append(missed, events.Event{At: o.At, Gate: name, Lasting: true, Switch: record.Seq, What: s})
		}
	}
	r.mu.Lock()
	e := r.entries[name]
	r.mu.Unlock()
	if e != nil && e.isPresent() {
		s := e.gate.Snapshot()
		c := GateChanged{Snapshot: s}
		if o := s.Override; o != nil {
			c.Actor, c.From = o.Actor, o.From
		}
		missed = append(missed, events.Event{At: s.Since, Gate: name, Lasting: true, What: c})
	}
	return missed
}
