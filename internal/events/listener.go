package events

import (
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// DefaultBound is the default of [Listener.Bound].
	DefaultBound = 4096
	// hungAfter is how long a call may take before [Hub.ReplaceHung] replaces
	// its goroutine.
	hungAfter = time.Second
	// maxHung is how many goroutines may hang in one listener. Then it gets no
	// other one.
	maxHung = 4
)

// Listener gets events.
type Listener struct {
	// Wants reports whether the listener wants an event. The publisher calls
	// it, so it must not block. Nil: it wants all events.
	Wants func(Event) bool
	// Hear is called for one event after the other. It may block, and then
	// delays only this listener.
	Hear func(Event)
	// Missed is called with the number of events that the listener has missed,
	// before the events that came after them. Nil: it is not called.
	Missed func(n int)
	// Bound is how many events may wait in the queue. Zero or less:
	// [DefaultBound].
	Bound int
}

// listener is a Listener with its queue.
//
//	idle ──event──▶ hearing ──queue empty──▶ idle
//	                  │  ▲
//	       queue full │  │ queue empty: call Missed, recall the state of gates
//	                  ▼  │
//	                 missing
type listener struct {
	// Set once by Listen.
	Listener
	hub *Hub

	mu      sync.Mutex // guards the fields below
	queue   []Event
	missed  int               // events since the queue was full
	gates   map[string]uint64 // gates of missed lasting events, with the first switch that was missed; zero: none
	worker  *worker           // nil: there is nothing to deliver
	hung    int               // workers that were replaced, and still hang
	stopped bool
}

// worker is the goroutine that calls a listener.
type worker struct {
	done     chan struct{}
	since    time.Time         // when the present call began; zero: there is none. Guarded by listener.mu
	recalled map[string]uint64 // the seq at which each gate was recalled. Only this goroutine uses it
}

// enqueue adds an event to the queue. If the queue is full, the event is
// missed, and all others are until the queue is empty, so that the listener
// gets no event before an older one.
func (l *listener) enqueue(e Event) {
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
		l.startWorker()
	}
}

// miss notes a missed event. l.mu is held.
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

// startWorker starts a worker. l.mu is held.
func (l *listener) startWorker() {
	l.worker = &worker{done: make(chan struct{})}
	go l.run(l.worker)
}

// run delivers events until the queue is empty.
func (l *listener) run(w *worker) {
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

// next returns the next call to make. ok is false if there is none, or if
// another worker has replaced w.
func (l *listener) next(w *worker) (call func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.worker != w:
		l.hung-- // it hangs no longer
		return nil, false
	case len(l.queue) > 0:
		e := l.queue[0]
		l.queue[0] = Event{}
		l.queue = l.queue[1:]
		if len(l.queue) == 0 {
			l.queue = nil // frees the memory of a long queue
		}
		call = func() { l.deliver(w, e) }
	case l.missed > 0:
		n, gates := l.missed, l.gates
		l.missed, l.gates = 0, nil
		call = func() { l.catchUp(w, n, gates) }
	default:
		l.worker = nil
		return nil, false
	}
	w.since = time.Now()
	return call, true
}

// deliver passes an event on, unless its gate was recalled later.
func (l *listener) deliver(w *worker, e Event) {
	if !e.Lasting || e.seq > w.recalled[e.Gate] {
		l.Hear(e)
	}
}

// catchUp reports the missed events, and passes on what is recalled of them.
func (l *listener) catchUp(w *worker, n int, gates map[string]uint64) {
	if l.Missed != nil {
		l.Missed(n)
	}
	recall := l.hub.recall.Load()
	if recall == nil {
		return
	}
	for _, gate := range slices.Sorted(maps.Keys(gates)) {
		seq := l.hub.lastSeq.Load()
		for _, e := range (*recall)(gate, gates[gate]) {
			if l.Wants == nil || l.Wants(e) {
				l.Hear(e)
			}
		}
		if w.recalled == nil {
			w.recalled = make(map[string]uint64)
		}
		w.recalled[gate] = seq
	}
}

// replaceIfHung replaces the worker if its present call takes longer than
// hungAfter.
func (l *listener) replaceIfHung() {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.worker
	if w == nil || w.since.IsZero() {
		return
	}
	since := w.since
	time.AfterFunc(max(hungAfter-time.Since(since), 0), func() { l.replaceWorker(w, since) })
}

// replaceWorker starts another worker if w is still in the call that began at
// since.
func (l *listener) replaceWorker(w *worker, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.worker == w && w.since.Equal(since) && l.hung < maxHung {
		l.hung++
		l.startWorker()
	}
}

// idle returns a channel that is closed when everything is delivered. Nil:
// there is nothing to deliver.
func (l *listener) idle() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.worker == nil {
		return nil
	}
	return l.worker.done
}

// stop drops the events in the queue.
func (l *listener) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped, l.queue, l.missed, l.gates = true, nil, 0, nil
}
