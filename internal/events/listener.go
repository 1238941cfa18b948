package events

import (
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// DefaultBound is how many events may wait for a listener.
	DefaultBound = 4096
	// hangs is how long a listener may take for one event after [Hub.Renew] before
	// it is taken for one that hangs.
	hangs = time.Second
	// mostHanging is how many goroutines may hang in one listener. With that many
	// it is left alone.
	mostHanging = 4
)

// Listener is told what happens.
type Listener struct {
	// Wants reports whether an event is worth telling. It is called by whoever
	// publishes: it must not block. Nil: all are.
	Wants func(Event) bool
	// Hear is told one event after the other. It may block, and holds up only
	// itself.
	Hear func(Event)
	// Missed is told how many events were missed, before what came after them.
	// Nil: nobody wants to know.
	Missed func(n int)
	// Bound is how many events may wait. Zero or less: [DefaultBound].
	Bound int
}

// listener is a Listener with its queue.
//
//	idle ──event──▶ hearing ──queue empty──▶ idle
//	                  │  ▲
//	       queue full │  │ queue empty: Missed, then what is recalled
//	                  ▼  │
//	                 missing
type listener struct {
	// Set once by Listen.
	Listener
	hub *Hub

	mu      sync.Mutex // guards the fields below
	queue   []Event
	missed  int               // events, since the queue was full
	gates   map[string]uint64 // of those that last: the first switch that was missed; zero: none
	worker  *worker           // nil: nothing is to be heard
	hanging int               // workers that were given up
	stopped bool
}

// worker is one goroutine that calls a listener.
type worker struct {
	done  chan struct{}
	since time.Time         // when the call under way began. Guarded by listener.mu
	told  map[string]uint64 // gates that were recalled, and up to which turn. The goroutine's own
}

// put adds an event to the queue, or notes that it is missed: from then on all
// are, until the queue is empty, so that none comes before an older one.
func (l *listener) put(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.stopped:
		return
	case l.missed == 0 && len(l.queue) < l.Bound:
		l.queue = append(l.queue, e)
	default:
		l.miss(e)
	}
	if l.worker == nil {
		l.start(nil)
	}
}

// miss notes an event that is not told. l.mu is held.
func (l *listener) miss(e Event) {
	l.missed++
	if !e.Lasting {
		return
	}
	if l.gates == nil {
		l.gates = make(map[string]uint64)
	}
	if first := l.gates[e.Gate]; first == 0 || e.Switch != 0 && e.Switch < first {
		l.gates[e.Gate] = e.Switch
	}
}

// start begins to tell. l.mu is held.
func (l *listener) start(told map[string]uint64) {
	l.worker = &worker{done: make(chan struct{}), told: told}
	go l.work(l.worker)
}

// work tells what is in the queue until it is empty.
func (l *listener) work(w *worker) {
	defer close(w.done)
	for {
		next, ok := l.next(w)
		if !ok {
			return
		}
		next()
		l.mu.Lock()
		w.since = time.Time{}
		l.mu.Unlock()
	}
}

// next returns what is to be told next. ok is false when nothing is, or when
// another worker has taken over.
func (l *listener) next(w *worker) (tell func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.worker != w:
		l.hanging-- // it hangs no more
		return nil, false
	case len(l.queue) > 0:
		e := l.queue[0]
		l.queue[0] = Event{}
		l.queue = l.queue[1:]
		if len(l.queue) == 0 {
			l.queue = nil // what a rush has left behind
		}
		tell = func() { l.hear(w, e) }
	case l.missed > 0:
		n, gates := l.missed, l.gates
		l.missed, l.gates = 0, nil
		tell = func() { l.catchUp(w, n, gates) }
	default:
		l.worker = nil
		return nil, false
	}
	w.since = time.Now()
	return tell, true
}

// hear tells an event, unless its gate was recalled since.
func (l *listener) hear(w *worker, e Event) {
	if !e.Lasting || e.turn > w.told[e.Gate] {
		l.Hear(e)
	}
}

// catchUp tells what was missed, as far as it is known.
func (l *listener) catchUp(w *worker, n int, gates map[string]uint64) {
	if l.Missed != nil {
		l.Missed(n)
	}
	recall := l.hub.recall.Load()
	if recall == nil {
		return
	}
	for _, gate := range slices.Sorted(maps.Keys(gates)) {
		turn := l.hub.turns.Load()
		for _, e := range (*recall)(gate, gates[gate]) {
			if l.Wants == nil || l.Wants(e) {
				l.Hear(e)
			}
		}
		if w.told == nil {
			w.told = make(map[string]uint64)
		}
		w.told[gate] = turn
	}
}

// renew replaces a worker that hangs, or will have hung in the call under way.
func (l *listener) renew() {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.worker
	if w == nil || w.since.IsZero() {
		return
	}
	since := w.since
	time.AfterFunc(max(hangs-time.Since(since), 0), func() { l.replace(w, since) })
}

// replace has another worker go on, if w is still in the call that began then.
func (l *listener) replace(w *worker, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.worker == w && w.since.Equal(since) && l.hanging < mostHanging {
		l.hanging++
		l.start(nil)
	}
}

// heard is closed when nothing is left to tell. Nil: nothing is.
func (l *listener) heard() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.worker == nil {
		return nil
	}
	return l.worker.done
}

// stop forgets what is not told yet.
func (l *listener) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped, l.queue, l.missed, l.gates = true, nil, 0, nil
}
