package registry

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/wsgate/wsgate/tunnel"
)

// closeGrace is how long a tunnel may take to end after it has reached a limit.
const closeGrace = 5 * time.Second

// codeGoingAway is the close code for a limit or a shutdown.
const codeGoingAway = 1001

// LimitValues are a handler's timeouts. Zero: no limit.
type LimitValues struct {
	// Idle is how long a tunnel may carry no byte, in either direction.
	Idle time.Duration
	// Lifetime is how long a tunnel may be open.
	Lifetime time.Duration
	// HalfOpen is how long a tunnel may carry nothing once one direction has
	// ended. Zero stands for [tunnel.DefaultHalfOpen], negative for no limit.
	HalfOpen time.Duration
}

// limits are the timeouts of one handler's tunnels. An open tunnel follows a
// new value at once.
type limits struct {
	idle, lifetime, halfOpen atomic.Int64 // nanoseconds
	configured               bool         // the configuration in force has the handler; guarded by usage.mu
}

func (l *limits) set(v LimitValues) {
	l.idle.Store(int64(v.Idle))
	l.lifetime.Store(int64(v.Lifetime))
	l.halfOpen.Store(int64(v.HalfOpen))
}

func keepLimits(l *limits) bool { return l.configured }

// handlers holds the limits of a gate's tunnels, by handler. Safe for
// concurrent use.
type handlers struct {
	usage[limits]
	period atomic.Int64 // between two checks of the tunnels; zero: there is no limit
	due    atomic.Bool  // the timer runs

	timing sync.Mutex // guards the fields below
	timer  *time.Timer
	look   func()
}

// setLimits puts the timeouts of a configuration in force, by handler name.
// Tunnels of a handler that it does not have keep their timeouts.
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
	h.period.Store(int64(limitPeriod(shortest)))
	h.timing.Lock()
	defer h.timing.Unlock()
	if h.timer != nil { // the period may have changed
		h.timer.Stop()
		h.timer = nil
	}
	h.due.Store(false)
	h.arm()
}

// limitPeriod returns how late a limit may be noticed: an eighth of the
// shortest limit, between 20 ms and 5 s. Zero: there is no limit.
func limitPeriod(shortest time.Duration) time.Duration {
	if shortest == 0 {
		return 0
	}
	return min(max(shortest/8, 20*time.Millisecond), 5*time.Second)
}

// ensureTimer starts the timer for the next check, if there are limits.
func (h *handlers) ensureTimer() {
	if h.period.Load() == 0 || h.due.Load() {
		return
	}
	h.timing.Lock()
	defer h.timing.Unlock()
	h.arm()
}

// arm starts the timer. h.timing is held.
func (h *handlers) arm() {
	if period := time.Duration(h.period.Load()); period > 0 && h.due.CompareAndSwap(false, true) {
		h.timer = time.AfterFunc(period, h.look)
	}
}

// closeOverLimit closes the tunnels that have reached a limit. It starts the
// timer again while there are tunnels.
func (e *Entry) closeOverLimit() {
	now := time.Now()
	e.handlers.due.Store(false)
	if e.Tunnels() == 0 {
		return // the next tunnel starts the timer
	}
	e.handlers.ensureTimer()
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

// HalfOpen is how long the tunnel may carry nothing once one direction has
// ended (see [tunnel.Owner]).
func (t *Tunnel) HalfOpen() time.Duration { return time.Duration(t.handler.V.halfOpen.Load()) }

// overLimit returns which limit the tunnel has reached. Empty: none.
func (t *Tunnel) overLimit(now time.Time) string {
	idle, lifetime := time.Duration(t.handler.V.idle.Load()), time.Duration(t.handler.V.lifetime.Load())
	if idle == 0 && lifetime == 0 {
		return ""
	}
	unused := t.IdleFor(now) // called each time, because it measures from one call to the next
	switch {
	case lifetime > 0 && now.Sub(t.Stats().Opened) >= lifetime:
		return "maximum lifetime reached"
	case idle > 0 && unused >= idle:
		return "idle timeout"
	}
	return ""
}
