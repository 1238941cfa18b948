package wsgate

import (
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/wsgate/wsgate/internal/events"
	"github.com/wsgate/wsgate/internal/registry"
)

// The events that wsgate gives to Caddy's events app. Their origin is the
// module wsgate; operations.md lists their data.
const (
	eventChanged  = "wsgate.gate_changed"
	eventFinished = "wsgate.drain_finished"
)

// emitBound is how many events may wait for Caddy's handlers. Caddy calls them
// one after the other.
const emitBound = 256

// emitter returns the function that sends an event to a configuration's event
// handlers.
func emitter(ctx caddy.Context) (emit func(name string, data map[string]any), err error) {
	app, err := ctx.App("events")
	if err != nil {
		return nil, fmt.Errorf("loading the events app: %w", err)
	}
	eventsApp, ok := app.(*caddyevents.App)
	if !ok {
		return nil, fmt.Errorf("the events app is a %T: wsgate knows only Caddy's own", app)
	}
	return func(name string, data map[string]any) { eventsApp.Emit(ctx, name, data) }, nil
}

// isEmitted reports whether an event goes to Caddy's event handlers.
func isEmitted(e events.Event) bool {
	switch e.What.(type) {
	case registry.GateChanged, registry.DrainFinished:
		return true
	}
	return false
}

// emit sends an event to the event handlers of the configuration in force.
func emit(e events.Event) {
	send := registry.Emitter()
	if send == nil {
		return
	}
	switch what := e.What.(type) {
	case registry.GateChanged:
		data := map[string]any{
			"gate": e.Gate, "state": stateWord(what.Snapshot.Open), "mode": string(what.Snapshot.Mode),
			"cause": string(what.Snapshot.Cause), "reason": what.Snapshot.Reason,
			"actor": what.Actor, "from": what.From, "since": what.Snapshot.Since.UTC().Format(time.RFC3339), "until": "",
		}
		if !what.Snapshot.Until.IsZero() {
			data["until"] = what.Snapshot.Until.UTC().Format(time.RFC3339)
		}
		send(eventChanged, data)
	case registry.DrainFinished:
		send(eventFinished, map[string]any{"gate": e.Gate, "told": what.Told, "duration": what.Took.Seconds()})
	}
}

// emitMissed logs that Caddy's event handlers were too slow, and how many
// events they missed.
func emitMissed(m events.Missed) {
	registry.Log(registry.Line{
		Level: zapcore.WarnLevel, Message: "handlers of Caddy's events missed some, they are too slow",
		Fields: []zap.Field{zap.Int("missed", m.Count)},
	})
}
