package registry

import (
	"sync"
	"time"

	"github.com/wsgate/wsgate/gate"
)

// lookAgain bounds how long a change of the wall clock (a correction, a
// machine that slept) can go unnoticed.
const lookAgain = 10 * time.Second

// follower looks at a gate again when the clock or a rule may have changed it.
// It owns one timer and no goroutine.
type follower struct {
	mu      sync.Mutex // guards the fields below
	entry   *Entry
	timer   *time.Timer
	stops   []func()
	stopped bool
}

func (f *follower) init(e *Entry) { f.entry = e }

// at asks for a look at next; zero: nothing is due.
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
	wait := min(max(next.Sub(now), 0), lookAgain)
	f.timer = time.AfterFunc(wait, f.entry.refresh)
}

// rules replaces the rules that are listened to.
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
			f.stops = append(f.stops, n.Notify(f.soon))
		}
	}
}

// soon looks at the gate again at once, without holding up whoever says so.
func (f *follower) soon() { time.AfterFunc(0, f.entry.refresh) }

// stop ends all following; the entry is forgotten.
func (f *follower) stop() {
	f.rules(gate.Policy{})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
	if f.timer != nil {
		f.timer.Stop()
	}
}
