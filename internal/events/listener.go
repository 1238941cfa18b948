package events

import (
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
)

// Listener gets events.
type Listener struct {
	// Wants reports whether the listener wants an event. The publisher calls
	// it, so it must not block. Nil: it wants all events.
	Wants func(Event) bool
	// Hear is called for one event after the other. It may block, and then
	// delays only this listener.
	Hear func(Event)
	// Missed is called when the listener has missed events, before the events
	// that came after them. Nil: it is not called.
	Missed func(Missed)
	// Bound is how many events may wait in the queue, and how many switches
	// apart from it. Zero or less: [DefaultBound].
	Bound int
	// Again makes [Hub.ReplaceHung] repeat the call that hangs, in the new
	// goroutine, so that nothing is lost with the old one. If the old call
	// returns after all, the listener has got its event twice.
	Again bool
}

// listener is a Listener with its queue.
//
//	idle ──event──▶ hearing ──queue and backlog empty──▶ idle
//	                  │  ▲
//	       queue full │  │ queue empty: the backlog becomes the queue
//	                  ▼  │
//	                 missing
type listener struct {
	// Set once by Listen.
	Listener

	mu      sync.Mutex // guards the fields below
	queue   []Event
	backlog backlog // of the events since the queue was full
	worker  *worker // nil: there is nothing to deliver
	stopped bool
}

// worker is the goroutine that calls a listener. Its fields are guarded by
// listener.mu.
type worker struct {
	done  chan struct{}
	since time.Time // when the present call began; zero: there is none
	event Event     // of the present call
}

// enqueue adds an event to the queue. If the queue is full, the event goes to
// the backlog, and all others do until the queue is empty, so that the listener
// gets no event before an older one.
func (l *listener) enqueue(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.stopped:
		return
	case l.backlog.empty() && len(l.queue) < l.Bound:
		l.queue = append(l.queue, e)
	default:
		l.backlog.add(e)
	}
	if l.worker == nil {
		l.startWorker()
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
		e, ok := l.next(w)
		if !ok {
			return
		}
		l.deliver(e)
		l.mu.Lock()
		w.since, w.event = time.Time{}, Event{}
		l.mu.Unlock()
	}
}

// next returns the next event to deliver. ok is false if there is none, or if
// another worker has replaced w.
func (l *listener) next(w *worker) (e Event, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.worker != w {
		return e, false
	}
	if len(l.queue) == 0 {
		l.queue = l.backlog.take()
	}
	if len(l.queue) == 0 {
		l.queue, l.worker = nil, nil // frees the memory of a long queue
		return e, false
	}
	e = l.queue[0]
	l.queue[0] = Event{}
	l.queue = l.queue[1:]
	w.since, w.event = time.Now(), e
	return e, true
}

// deliver calls the listener.
func (l *listener) deliver(e Event) {
	missed, ok := e.What.(Missed)
	switch {
	case !ok:
		l.Hear(e)
	case l.Missed != nil:
		missed.Again = e.Again
		l.Missed(missed)
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
// since. There is no limit to how many workers hang, because with a limit a log
// that works again would stay silent.
func (l *listener) replaceWorker(w *worker, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.worker != w || !w.since.Equal(since) {
		return
	}
	if l.Again && !l.stopped {
		e := w.event
		e.Again = true
		l.queue = slices.Insert(l.queue, 0, e)
	}
	l.startWorker()
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
	l.stopped, l.queue, l.backlog = true, nil, backlog{}
}
