package ledger

import (
	"time"
)

// site is a place in use. Its fields are guarded by Ledger.mu, unless they are
// set once.
type site struct {
	lane  *lane         // set once
	ready chan struct{} // set once; closed when the place was read, or could not be, or is late
	kick  chan struct{} // set once; wakes a writer that waits before the next try

	place   Place // the newest value that stands for it
	lent    bool  // nothing is written yet: it may be taken back
	unread  bool  // it was never read through
	isReady bool

	reading bool          // a reading is under way
	again   bool          // and another one is wanted
	retry   *time.Timer   // nil: none is due
	pause   time.Duration // before the next retry
	trouble string        // why it cannot be read

	writing bool      // the writer lives
	since   time.Time // when the write under way began; zero: none is
}

func (l *Ledger) newSite(p Place, lent bool) *site {
	return &site{
		lane: l.laneOf(p), place: p, lent: lent, unread: true,
		ready: make(chan struct{}), kick: make(chan struct{}, 1), pause: readRetry,
	}
}

// Lend has a place read when there is none yet, and nothing written: the
// configuration that brings it may fail.
func (l *Ledger) Lend(p Place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.site == nil && p != nil {
		l.site = l.newSite(p, true)
		l.startReader(l.site)
	}
}

// Return takes back what Lend alone has made, and forgets what was read: it
// returns the keys of that, and tells nobody.
func (l *Ledger) Return() (gone []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.site
	if s == nil || !s.lent {
		return nil
	}
	l.site = nil
	s.stop()
	for key, e := range l.entries {
		if !e.said {
			delete(l.entries, key)
			gone = append(gone, key)
		}
	}
	return gone
}

// Bind makes p the place of all records, and has it read. On a move to another
// place, what was said in this process goes along; of the rest counts what is
// there. Nil: the place stays. It reports whether it is another one.
func (l *Ledger) Bind(p Place) (moved bool) {
	if p == nil {
		return false
	}
	l.mu.Lock()
	var again []string
	switch before := l.site; {
	case before == nil:
		l.site = l.newSite(p, false)
		l.startReader(l.site)
	case before.place.Same(p):
		before.place = p
		if !before.lent { // else it is being read, or was just now
			l.startReader(before)
		}
		before.lent = false
	default:
		before.stop()
		l.site = l.newSite(p, false)
		again, moved = l.move(), true
		l.startReader(l.site)
	}
	l.startWriter()
	l.mu.Unlock()
	l.tell(again...)
	return moved
}

// move takes along what was said in this process, with a higher number, and
// returns its keys. What was read stays in force until the new place was read.
// l.mu is held.
func (l *Ledger) move() (again []string) {
	for key, e := range l.entries {
		switch {
		case !e.said:
			e.stale, e.trouble = true, ""
			e.dismiss()
		case e.rec.Value != nil:
			e.rec.Seq++
			e.owe(debt{})
			again = append(again, key)
		default:
			e.owe(debt{force: true})
		}
	}
	return again
}

// dismiss forgets a debt, and tells those who wait for it.
func (e *entry) dismiss() {
	if e.dirty != nil {
		close(e.dirty.done)
		e.dirty = nil
	}
}

// stop ends what a site has begun, except for calls that hang. l.mu is held.
func (s *site) stop() {
	if s.retry != nil {
		s.retry.Stop()
	}
	s.setReady()
	s.wake()
}

// setReady lets go who waits for the reading. l.mu is held.
func (s *site) setReady() {
	if !s.isReady {
		s.isReady = true
		close(s.ready)
	}
}

func (s *site) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}
