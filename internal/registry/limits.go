package registry

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/wsgate/wsgate/tunnel"
)

// closeGrace is how long a tunnel that ran into a limit may take to end.
const closeGrace = 5 * time.Second

// codeGoingAway is the close code of an end that nobody asked for by name.
const codeGoingAway = 1001

// LimitValues are a handler's timeouts. Zero: no limit.
type LimitValues struct {
	// Idle is how long no byte may move in either direction.
	Idle time.Duration
	// Lifetime is how long a tunnel may be open at all.
	Lifetime time.Duration
}

// limits are the timeouts of one handler's tunnels. A tunnel that is open
// follows a new value at once.
type limits struct {
	idle, lifetime atomic.Int64 // nanoseconds
	configured     bool         // a handler of the configuration in force has it. Guarded by usage.mu
}

func (l *limits) set(v LimitValues) {
	l.idle.Store(int64(v.Idle))
	l.lifetime.Store(int64(v.Lifetime))
}

func keepLimits(l *limits) bool { return l.configured }

// handlers are the limits of a gate's tunnels, by the handler that they came
// through. Safe for concurrent use.
type handlers struct {
	usage[limits]
	period atomic.Int64 // between two looks at the tunnels; zero: there is no limit
	due    atomic.Bool  // a look is due

	timing sync.Mutex // guards the fields below
	timer  *time.Timer
	look   func()
}

// setLimits puts the timeouts of a configuration in force, by the handlers'
// names. Tunnels of a handler that is gone keep what they had.
func (h *handlers) setLimits(values map[string]LimitValues) {
	h.mu.Lock()
	for key, v := range values {
		h.of(key).V.set(v)
	}
	var shortest time.Duration
	for key, one := range h.by {
		_, one.V.configured = values[key]
		h.forget(one, keepLimits)
		for _, d := range [...]time.Duration{time.Duration(one.V.idle.Load()), time.Duration(one.V.lifetime.Load())} {
			if d > 0 && (shortest == 0 || d < shortest) {
				shortest = d
			}
		}
	}
	h.mu.Unlock()
	h.period.Store(int64(sweepPeriod(shortest)))
	h.timing.Lock()
	defer h.timing.Unlock()
	if h.timer != nil { // its period may be another now
		h.timer.Stop()
		h.timer = nil
	}
	h.due.Store(false)
	h.arm()
}

// sweepPeriod is an eighth of the shortest limit, between 20 ms and 5 s: how
// late a limit may be noticed. Zero: there is no limit.
func sweepPeriod(shortest time.Duration) time.Duration {
	if shortest == 0 {
		return 0
	}
	return min(max(shortest/8, 20*time.Millisecond), 5*time.Second)
}

// watch makes sure that somebody looks at the limits, when there are any.
func (h *handlers) watch() {
	if h.period.Load() == 0 || h.due.Load() {
		return
	}
	h.timing.Lock()
	defer h.timing.Unlock()
	h.arm()
}

// arm has the tunnels looked at after the period. h.timing is held.
func (h *handlers) arm() {
	if period := time.Duration(h.period.Load()); period > 0 && h.due.CompareAndSwap(false, true) {
		h.timer = time.AfterFunc(period, h.look)
	}
}

// sweep closes the tunnels that ran into a limit, and looks again later while
// there are any.
func (e *Entry) sweep() {
	now := time.Now()
	e.handlers.due.Store(false)
	if e.Tunnels() == 0 {
		return // the next one has it looked again
	}
	e.handlers.watch()
	type over struct {
		*Tunnel
		reason string
	}
	var closing []over
	e.table.each(func(t *Tunnel) {
		if reason := t.overLimit(now); reason != "" {
			closing = append(closing, over{t, reason})
		}
	})
	for _, t := range closing {
		t.Close(tunnel.Closing{By: tunnel.ByLimit, Code: codeGoingAway, Reason: t.reason, Deadline: now.Add(closeGrace)})
	}
}

// overLimit says which limit the tunnel ran into, if any.
func (t *Tunnel) overLimit(now time.Time) string {
	idle, lifetime := time.Duration(t.handler.V.idle.Load()), time.Duration(t.handler.V.lifetime.Load())
	if idle == 0 && lifetime == 0 {
		return ""
	}
	unused := t.IdleFor(now) // asked every time: it measures from one call to the next
	switch {
	case lifetime > 0 && now.Sub(t.Stats().Opened) >= lifetime:
		return "maximum lifetime reached"
	case idle > 0 && unused >= idle:
		return "idle timeout"
	}
	return ""
}
