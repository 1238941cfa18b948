package ledger

import (
	"errors"
	"io/fs"
	"time"
)

// queuedWrite is a write that the place has yet to get. Ledger.mu guards it.
type queuedWrite struct {
	// base is the record for whose sake the place is written: the one that was
	// put, or the one that has ended. A record that is found in its stead stays
	// if it replaces base.
	base   Record
	before Record    // what the place had, as far as was known when base was said: it does not replace base
	placed bool      // the place had base, as far as this process knows
	saidAt time.Time // when an operator said base; zero: nobody says it now
	late   bool      // a write of it has failed
	ended  bool      // base has ended: write what is in force in its stead, or delete it
	again  bool      // base repeats what is in force: put it in force only if the place has another record
	ends   time.Time // of base, if it repeats
	done   chan struct{}
}

// known returns the record that the place has, as far as this process knows.
// Ledger.mu is held.
func (e *entry) known() Record {
	if e.queued != nil {
		return e.queued.before
	}
	return e.rec
}

// replacedBy reports whether what was found counts, and not what is queued.
func (w *queuedWrite) replacedBy(f found) bool {
	if w.before.Value != nil && f.rec.sameWord(w.before) {
		return false
	}
	return f.rec.Replaces(w.base, w.placed)
}

// isNow reports whether an operator says this now, so that it replaces whatever
// is found. Once a write has failed or hung, others may have said something
// meanwhile.
func (w *queuedWrite) isNow() bool {
	return !w.saidAt.IsZero() && !w.late && time.Since(w.saidAt) < hangsAfter
}

// queueWrite notes that the place does not have what is in force. l.mu is held.
func (e *entry) queueWrite(w queuedWrite) {
	w.done = make(chan struct{})
	if before := e.queued; before != nil {
		w.done = before.done
	}
	e.queued = &w
}

// dropWrite forgets the queued write, and ends the wait for it.
func (e *entry) dropWrite() {
	if e.queued != nil {
		close(e.queued.done)
		e.queued = nil
	}
}

// step is what the writer does after it has looked at what the place has.
type step int

const (
	stepNone   step = iota // the place has what it should have
	stepChange             // the queued write is another one now: look again
	stepTake               // the place has a record that counts
	stepStore
	stepDelete
)

// decide decides about a queued write. f is what the place has, and looked the
// error of a place that has answered the look with one. decide returns the
// record that is to be stored, and its end. It changes nothing.
func (l *Ledger) decide(b *binding, key string, w *queuedWrite, f found, looked error) (do step, r Record, ends time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[key]
	if e == nil || b != l.bound || e.queued != w {
		return stepChange, r, ends, nil
	}
	r, ends = e.rec, e.ends
	nothing := errors.Is(looked, fs.ErrNotExist)
	switch {
	case looked != nil && !nothing && !w.isNow():
		return stepNone, r, ends, looked // what is there may have been said later
	case nothing && r.Value == nil:
		return stepNone, r, ends, nil
	case f.raw != nil && f.broken == nil && f.rec.sameWord(r):
		return stepNone, f.rec, ends, nil
	case f.raw != nil && f.broken == nil && w.again && f.rec.sameWord(w.base):
		return stepNone, f.rec, w.ends, nil
	case nothing:
		return stepStore, r, ends, nil
	case f.raw != nil && !w.isNow() && (w.replacedBy(f) || w.ended && f.broken != nil):
		return stepTake, r, ends, nil
	case w.again:
		r, ends = w.base, w.ends
	}
	if r.Value == nil {
		return stepDelete, r, ends, nil
	}
	r.Seq = max(r.Seq, f.rec.Seq+1)
	if f.rec.Seq == 0 { // the number that is there is not known: a time is higher than any count
		r.Seq = max(r.Seq, uint64(max(time.Now().UnixMilli(), 0)))
	}
	r.Seq = min(r.Seq, maxSeq)
	return stepStore, r, ends, nil
}

// took puts in force what the place has instead of what was queued.
func (l *Ledger) took(b *binding, key string, w *queuedWrite, f found) {
	l.mu.Lock()
	e := l.entries[key]
	if e == nil || b != l.bound || e.queued != w {
		l.mu.Unlock()
		return
	}
	e.seenSeq = max(e.seenSeq, f.rec.Seq)
	news, changed := l.take(e, f)
	l.mu.Unlock()
	l.tell(key, news, changed)
}

// noteWritten notes that the place has r, unless a newer write is queued. The
// record has got its number only now.
func (l *Ledger) noteWritten(b *binding, key string, w *queuedWrite, r Record, ends time.Time) {
	l.mu.Lock()
	e := l.entries[key]
	if e == nil || b != l.bound || e.queued != w {
		l.mu.Unlock()
		return
	}
	e.dropWrite()
	e.lost = false
	e.changes++
	changed := !r.Same(e.rec)
	switch {
	case changed && w.again:
		l.putInForce(e, r, ends)
	case changed:
		e.rec.Seq, e.seenSeq = r.Seq, max(e.seenSeq, r.Seq)
	case e.rec.Value == nil && e.trouble == "":
		delete(l.entries, key)
	}
	l.mu.Unlock()
	if changed {
		l.notify(key)
	}
}

// noteFailed notes that a write has failed: what was said is not said now any
// more.
func (l *Ledger) noteFailed(w *queuedWrite) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.late = true
}
