package registry

import (
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

// Limits are the timeouts of one handler's tunnels. A tunnel that is open
// follows a new value at once.
type Limits struct {
	idle, lifetime atomic.Int64 // nanoseconds

	// Guarded by entry.mu.
	key        string
	tunnels    int  // that follow it
	configured bool // a handler of the configuration in force has it
}

func (l *Limits) set(v LimitValues) {
	l.idle.Store(int64(v.Idle))
	l.lifetime.Store(int64(v.Lifetime))
}

// limitsOf returns the limits kept under a handler's key. e.mu is held.
func (e *Entry) limitsOf(key string) *Limits {
	l := e.limits[key]
	if l == nil {
		l = &Limits{key: key}
		e.limits[key] = l
	}
	return l
}

// forgetLimits drops limits that nobody follows or asks for. e.mu is held.
func (e *Entry) forgetLimits(l *Limits) {
	if l.tunnels == 0 && !l.configured && e.limits[l.key] == l {
		delete(e.limits, l.key)
	}
}

// setLimits puts the timeouts of a configuration in force, by the handlers'
// names. Tunnels of a handler that is gone keep what they had.
func (e *Entry) setLimits(values map[string]LimitValues) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for key, v := range values {
		e.limitsOf(key).set(v)
	}
	for key, l := range e.limits {
		_, l.configured = values[key]
		e.forgetLimits(l)
	}
	if e.sweep != nil { // its period may be another now
		e.sweep.Stop()
		e.sweep = nil
	}
	e.armSweep()
}

// armSweep makes sure that somebody looks at the limits while there are
// tunnels and limits. e.mu is held.
func (e *Entry) armSweep() {
	period := e.sweepPeriod()
	if period == 0 || len(e.tunnels) == 0 {
		if e.sweep != nil {
			e.sweep.Stop()
			e.sweep = nil
		}
		return
	}
	if e.sweep == nil {
		e.sweep = time.AfterFunc(period, e.sweepOnce)
	}
}

// sweepPeriod is an eighth of the shortest limit, between 20 ms and 5 s: how
// late a limit may be noticed. Zero: there is no limit. e.mu is held.
func (e *Entry) sweepPeriod() time.Duration {
	var shortest int64
	for _, l := range e.limits {
		for _, d := range [...]int64{l.idle.Load(), l.lifetime.Load()} {
			if d > 0 && (shortest == 0 || d < shortest) {
				shortest = d
			}
		}
	}
	if shortest == 0 {
		return 0
	}
	return min(max(time.Duration(shortest)/8, 20*time.Millisecond), 5*time.Second)
}

// sweepOnce closes the tunnels that ran into a limit.
func (e *Entry) sweepOnce() {
	now := time.Now()
	e.mu.Lock()
	open := append([]*Tunnel(nil), e.tunnels...)
	e.sweep = nil
	e.armSweep()
	e.mu.Unlock()
	for _, t := range open {
		if reason := t.overLimit(now); reason != "" {
			t.Close(tunnel.Closing{By: tunnel.ByLimit, Code: codeGoingAway, Reason: reason, Deadline: now.Add(closeGrace)})
		}
	}
}

// overLimit says which limit the tunnel ran into, if any.
func (t *Tunnel) overLimit(now time.Time) string {
	idle, lifetime := time.Duration(t.limits.idle.Load()), time.Duration(t.limits.lifetime.Load())
	unused := t.IdleFor(now) // asked every time: it measures from one call to the next
	switch {
	case lifetime > 0 && now.Sub(t.Stats().Opened) >= lifetime:
		return "maximum lifetime reached"
	case idle > 0 && unused >= idle:
		return "idle timeout"
	}
	return ""
}
