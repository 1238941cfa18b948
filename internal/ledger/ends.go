package ledger

import (
	"time"
)

// retire takes a record that has ended out of force. l.mu is held.
func (l *Ledger) retire(e *entry) {
	gone := e.rec
	l.forgottenSeq = max(l.forgottenSeq, gone.Seq, e.seenSeq)
	before, placed := e.known(), e.queued == nil
	e.rec, e.ends = Record{Key: gone.Key}, time.Time{}
	e.changes++
	e.queueWrite(queuedWrite{base: gone, before: before, placed: placed, ended: true})
}

// armSweep sets the timer that retires records, if this end comes before the
// others. l.mu is held.
func (l *Ledger) armSweep(ends time.Time) {
	if ends.IsZero() {
		return
	}
	now := time.Now()
	at := now.Add(min(max(ends.Sub(now), 0), maxSleep))
	if l.sweep != nil {
		if !at.Before(l.sweepAt) {
			return
		}
		l.sweep.Stop()
	}
	l.sweep, l.sweepAt = time.AfterFunc(at.Sub(now), l.sweepEnded), at
}

// sweepEnded retires the records that have ended.
func (l *Ledger) sweepEnded() {
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
	l.notify(gone...)
}
