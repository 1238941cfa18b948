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

// What the registry publishes (see package events): the What of its events.
type (
	// GateChanged is a gate that opened or closed.
	GateChanged struct {
		Snapshot *gate.Snapshot
		// Actor and From say who threw the switch that did it, to auto as well.
		// Empty: nobody did, or nobody said who.
		Actor, From string
	}

	// Switched is a gate that was switched by an operator.
	Switched struct {
		// Mode it was switched to; auto: handed back.
		Mode                gate.Mode
		Reason, Actor, From string
		At                  time.Time
		// Expires is when the gate is auto again. Zero: never.
		Expires time.Time
		// Recalled reports whether the listener missed it when it happened.
		Recalled bool
	}

	// SwitchFound is a stored switch that was read, and is in force.
	SwitchFound struct{ *gate.Override }

	// DrainFinished is the end of a drain: all tunnels that were told to end are
	// gone.
	DrainFinished struct {
		// Told is how many there were.
		Told int
		// Took is how long it took since the gate closed.
		Took time.Duration
	}

	// TunnelOpened is a tunnel that began.
	TunnelOpened struct{ TunnelInfo }

	// TunnelClosed is a tunnel that ended.
	TunnelClosed struct {
		TunnelInfo
		tunnel.Result
	}

	// Line is something that only the log wants to know.
	Line struct {
		// Logger that writes it. Empty: that of the configuration in force.
		Logger  string
		Level   zapcore.Level
		Message string
		Fields  []zap.Field
	}
)

// TunnelInfo says which tunnel it is.
type TunnelInfo struct {
	ID       TunnelID
	Gate     string
	ClientIP netip.Addr
	Upstream string
}

// publish tells listeners of something that only they care for.
func publish(gateName string, what any) {
	events.Default.Publish(events.Event{Gate: gateName, What: what})
}

// publishState tells them what state a gate is in, which they hear of sooner or
// later. record is the number of the switch that says the same; zero: none does.
func publishState(gateName string, record uint64, what any) {
	events.Default.Publish(events.Event{Gate: gateName, Lasting: true, Switch: record, What: what})
}

// logLine has the log written by somebody who may wait for it.
func logLine(level zapcore.Level, message string, fields ...zap.Field) {
	Say(Line{Level: level, Message: message, Fields: fields})
}

// Say has a line logged. It does not wait for the log.
func Say(l Line) { publish("", l) }

func init() {
	events.Default.SetRecaller(func(name string, from uint64) []events.Event { return reg.recall(name, from) })
}

// recall returns what the ledger has of a gate's switches from a number on, and
// the state that the gate is in.
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
