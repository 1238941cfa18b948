package events

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Event is something that happened.
type Event struct {
	// At is when the event was published. Publish sets it.
	At time.Time
	// Gate is the gate that the event belongs to. Empty: none.
	Gate string
	// Lasting marks an event that has the state of its gate. Of those that a
	// listener misses, it gets the last one late.
	Lasting bool
	// Switch marks the event of an operator's switch. A listener that has missed
	// it gets it late.
	Switch bool
	// Again marks an event that the listener gets a second time, because it hung
	// in the first call ([Listener.Again]).
	Again bool
	// What happened: a value of the publisher's own type.
	What any

	seq uint64 // counts the published events
}

// Hub passes events on to listeners. The zero value is a hub without listeners.
// Safe for concurrent use.
type Hub struct {
	lastSeq   atomic.Uint64
	listeners atomic.Pointer[[]*listener] // replaced whole, never modified

	mu sync.Mutex // held while listeners is replaced
}

// Default is the hub of the process.
var Default = new(Hub)

// Listen calls l for each event from now on, until stop is called. stop drops
// the events that are still in the queue.
func (h *Hub) Listen(l Listener) (stop func()) {
	one := &listener{Listener: l}
	if one.Bound <= 0 {
		one.Bound = DefaultBound
	}
	one.backlog.bound = one.Bound
	h.replace(func(all []*listener) []*listener { return append(slices.Clone(all), one) })
	return func() {
		h.replace(func(all []*listener) []*listener {
			return slices.DeleteFunc(slices.Clone(all), func(l *listener) bool { return l == one })
		})
		one.stop()
	}
}

func (h *Hub) replace(do func([]*listener) []*listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := do(h.all())
	h.listeners.Store(&next)
}

func (h *Hub) all() []*listener {
	if all := h.listeners.Load(); all != nil {
		return *all
	}
	return nil
}

// Publish puts an event into the queue of each listener that wants it. It does
// not wait for listeners, and may be called under any lock.
func (h *Hub) Publish(e Event) {
	all := h.all()
	if len(all) == 0 {
		return
	}
	e.At, e.seq = time.Now(), h.lastSeq.Add(1)
	for _, l := range all {
		if l.Wants == nil || l.Wants(e) {
			l.enqueue(e)
		}
	}
}

// ReplaceHung gives each listener that hangs in a call another goroutine. The
// call that hangs is left alone.
func (h *Hub) ReplaceHung() {
	for _, l := range h.all() {
		l.replaceIfHung()
	}
}

// Flush returns when the listeners have got all events, or when ctx ends.
func (h *Hub) Flush(ctx context.Context) {
	for _, l := range h.all() {
		if idle := l.idle(); idle != nil {
			select {
			case <-idle:
			case <-ctx.Done():
				return
			}
		}
	}
}
