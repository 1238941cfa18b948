package ledger

import (
	"time"
)

// retire leaves nothing in force under a key. l.mu is held.
func (l *Ledger) retire(e *entry) {
	gone := e.rec
	l.floor = max(l.floor, gone.Seq, e.seen)
	e.rec, e.ends, e.stale = Record{Key: gone.Key}, time.Time{}, false
	e.owe(debt{gone: gone})
}

// armSweep makes sure that records go when their end has come. l.mu is held.
func (l *Ledger) armSweep(ends time.Time) {
	if ends.IsZero() {
		return
	}
	now := time.Now()
	at := now.Add(min(max(ends.Sub(now), 0), lookAgain))
	if l.sweep != nil {
		if !at.Before(l.sweepAt) {
			return
		}
		l.sweep.Stop()
	}
	l.sweep, l.sweepAt = time.AfterFunc(at.Sub(now), l.sweepOnce), at
}

// sweepOnce retires the records whose end has come.
func (l *Ledger) sweepOnce() {
	now := time.Now()
	l.mu.Lock()
	l.sweep = nil
	var gone []string
	var next time.Time
	for key, e := range l.entries {
		switch {
		case e.ends.IsZero():
		case !e.ends.After(now):
			l.retire(e)
			gone = append(gone, key)
		case next.IsZero() || e.ends.Before(next):
			next = e.ends
		}
	}
	l.armSweep(next)
	l.startWriter()
	l.mu.Unlock()
	l.tell(gone...)
}
