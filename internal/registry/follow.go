package registry

import (
	"sync"
	"time"

	"github.com/wsgate/wsgate/gate"
)

// maxSleep is how long a timer sleeps at most, so that a change of the wall
// clock (a correction, a machine that slept) is noticed by then.
const maxSleep = 10 * time.Second

// follower refreshes a gate when the clock or a rule may have changed it. It
// has one timer and no goroutine.
type follower struct {
	mu      sync.Mutex // guards the fields below
	entry   *Entry
	timer   *time.Timer
	stops   []func()
	stopped bool
}

func (f *follower) init(e *Entry) { f.entry = e }

// at sets the timer for the next refresh. Zero: none is due.
func (f *follower) at(next, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.timer != nil {
		f.timer.Stop()
		f.timer = nil
	}
	if next.IsZero() || f.stopped {
		return
	}
	wait := min(max(next.Sub(now), 0), maxSleep)
	f.timer = time.AfterFunc(wait, f.entry.refresh)
}

// rules replaces the rules that can ask for a refresh.
func (f *follower) rules(p gate.Policy) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, stop := range f.stops {
		stop()
	}
	f.stops = nil
	if f.stopped {
		return
	}
	for _, c := range p.OpenWhen {
		if n, ok := c.Rule.(gate.Notifier); ok {
			f.stops = append(f.stops, n.Notify(f.refreshSoon))
		}
	}
}

// refreshSoon refreshes the gate in another goroutine, so that a rule need not
// wait.
func (f *follower) refreshSoon() { time.AfterFunc(0, f.entry.refresh) }

// stop ends the timer and the rules. The entry is forgotten.
func (f *follower) stop() {
	f.rules(gate.Policy{})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
	if f.timer != nil {
		f.timer.Stop()
	}
}
