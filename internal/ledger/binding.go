package ledger

import (
	"time"
)

// binding is the place in use. Ledger.mu guards its fields, except those that
// are set once.
type binding struct {
	lane   *lane         // set once
	ready  chan struct{} // set once; closed when the place was read, when it could not be read, or after ReadWait
	wakeup chan struct{} // set once; ends the writer's pause
	left   chan struct{} // set once; closed when the ledger leaves the binding

	place    Place // the newest value for it
	readOnly bool  // nothing is written: the configuration may still fail
	unread   bool  // no reading has come to its end yet
	isReady  bool

	reading    bool          // a reading is under way
	readAgain  bool          // another reading follows it
	retry      *time.Timer   // nil: none is due
	retryAfter time.Duration // the pause before the next retry
	trouble    string        // why the place cannot be read

	writing    bool      // the writer runs
	pausing    bool      // the writer waits for its next round
	rounds     uint64    // that the writer has come to the end of
	writeBegan time.Time // when the write under way began; zero: there is none
}

func (l *Ledger) newBinding(p Place, readOnly bool) *binding {
	return &binding{
		lane: l.laneOf(p), place: p, readOnly: readOnly, unread: true,
		ready: make(chan struct{}), wakeup: make(chan struct{}, 1), left: make(chan struct{}), retryAfter: readRetry,
	}
}

// BindReadOnly has a place read if there is none yet. Nothing is written,
// because the configuration that brings the place may fail.
func (l *Ledger) BindReadOnly(p Place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bound == nil && p != nil {
		l.bound = l.newBinding(p, true)
		l.startReader(l.bound)
	}
}

// UnbindReadOnly undoes BindReadOnly, if no Bind has come since. It forgets the
// records that were read, and returns their keys. It does not notify the
// watchers.
func (l *Ledger) UnbindReadOnly() (gone []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bound
	if b == nil || !b.readOnly {
		return nil
	}
	l.bound = nil
	b.stop()
	for key, e := range l.entries {
		if !e.putHere {
			delete(l.entries, key)
			gone = append(gone, key)
		}
	}
	return gone
}

// Bind makes p the place of all records, and has it read. On a move to another
// place, the records that were put in this process move along. All others are
// taken from the new place. With nil, the place stays. Bind reports whether the
// ledger has moved.
func (l *Ledger) Bind(p Place) (moved bool) {
	if p == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch before := l.bound; {
	case before == nil:
		l.bound = l.newBinding(p, false)
		l.startReader(l.bound)
	case before.place.Same(p):
		before.place = p
		if !before.readOnly { // otherwise it is being read, or has just been read
			l.startReader(before)
		}
		before.readOnly = false
	default:
		before.stop()
		l.bound = l.newBinding(p, false)
		l.moveRecords()
		moved = true
		l.startReader(l.bound)
	}
	l.startWriter()
	return moved
}

// moveRecords queues the records of this process for the new place. Records that
// were read stay in force until the new place was read. l.mu is held.
func (l *Ledger) moveRecords() {
	for _, e := range l.entries {
		switch w := e.queued; {
		case !e.putHere:
			e.trouble = ""
			e.dropWrite()
		case w != nil:
			moved := *w
			moved.placed = false
			e.queueWrite(moved)
		case e.rec.Value != nil:
			e.queueWrite(queuedWrite{base: e.rec})
		}
	}
}

// stop ends the work for a binding, except for calls that hang. l.mu is held.
func (b *binding) stop() {
	if b.retry != nil {
		b.retry.Stop()
	}
	b.setReady()
	close(b.left)
}

// setReady ends the wait for the reading. l.mu is held.
func (b *binding) setReady() {
	if !b.isReady {
		b.isReady = true
		close(b.ready)
	}
}

// wake ends the pause of the writer.
func (b *binding) wake() {
	select {
	case b.wakeup <- struct{}{}:
	default:
	}
}
