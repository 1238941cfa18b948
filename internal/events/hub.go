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
	// At is when it was published. Publish sets it.
	At time.Time
	// Gate it happened to. Empty: none.
	Gate string
	// Lasting events say what state a gate is in. Those that are missed are
	// recalled.
	Lasting bool
	// Switch is the number of the record that says the same, if one does.
	Switch uint64
	// What happened: a value of the publisher's.
	What any

	turn uint64 // counts what was published
}

// Hub hands events on. The zero value is a hub without listeners. Safe for
// concurrent use.
type Hub struct {
	turns     atomic.Uint64
	listeners atomic.Pointer[[]*listener] // replaced whole
	recall    atomic.Pointer[Recaller]

	mu sync.Mutex // held while listeners is replaced
}

// Recaller returns what a listener has missed of a gate: the switches with the
// number from or a higher one, as far as they are known (zero: none was missed),
// and then the state. It is called by listeners' goroutines.
type Recaller func(gate string, from uint64) []Event

// Default is the hub of the process.
var Default = new(Hub)

// Recall names who knows what was missed, in place of the one before.
func (h *Hub) Recall(r Recaller) { h.recall.Store(&r) }

// Listen has l told what happens from now on, until stop is called. What is in
// its queue then is not told any more.
func (h *Hub) Listen(l Listener) (stop func()) {
	one := &listener{Listener: l, hub: h}
	if one.Bound <= 0 {
		one.Bound = DefaultBound
	}
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

// Publish tells the listeners what happened. It does not wait for them, and may
// be called under any lock.
func (h *Hub) Publish(e Event) {
	all := h.all()
	if len(all) == 0 {
		return
	}
	e.At, e.turn = time.Now(), h.turns.Add(1)
	for _, l := range all {
		if l.Wants == nil || l.Wants(e) {
			l.put(e)
		}
	}
}

// Renew has listeners that hang called anew, without what they hang in.
func (h *Hub) Renew() {
	for _, l := range h.all() {
		l.renew()
	}
}

// Flush returns when the listeners have heard everything, or when ctx ends.
func (h *Hub) Flush(ctx context.Context) {
	for _, l := range h.all() {
		if heard := l.heard(); heard != nil {
			select {
			case <-heard:
			case <-ctx.Done():
				return
			}
		}
	}
}
