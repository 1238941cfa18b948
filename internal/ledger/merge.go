package ledger

import (
	"strings"
	"time"
)

// found is what a place has under a key.
type found struct {
	raw    []byte // nil: nothing
	rec    Record // as far as it is known
	ends   time.Time
	broken error // why rec cannot be used
}

// decoded returns what the bytes of a place say.
func (l *Ledger) decoded(key string, raw []byte) found {
	k := l.kind(key)
	f := found{raw: raw}
	if f.rec, f.broken = decode(k, key, raw); f.broken == nil {
		f.ends, f.broken = k.Validate(strings.TrimPrefix(key, k.Prefix), f.rec)
	}
	return f
}

// changesOf counts the changes of a key in this process.
func (l *Ledger) changesOf(key string) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.entries[key]; e != nil {
		return e.changes
	}
	return 0
}

// handleRead handles the answer to one read of a reading: a record, or the
// error. since is what changesOf had returned before.
func (l *Ledger) handleRead(b *binding, key string, raw []byte, err error, since uint64) {
	f := found{rec: Record{Key: key}, broken: err}
	if err == nil {
		f = l.decoded(key, raw)
	}
	l.mu.Lock()
	e := l.entries[key]
	if e == nil {
		e = &entry{rec: Record{Key: key}}
	}
	if b != l.bound || e.changes != since {
		l.mu.Unlock() // the answer may be from before the change, and the writer looks itself
		return
	}
	l.entries[key] = e
	news, changed := l.merge(b, e, f)
	l.startWriter()
	l.mu.Unlock()
	l.tell(key, news, changed)
}

// tell reports a broken record, and calls the watchers of a changed one. l.mu
// is not held.
func (l *Ledger) tell(key string, news error, changed bool) {
	if news != nil {
		l.reports.Broken(key, news)
	}
	if changed {
		l.notify(key)
	}
}

// merge decides between the record that was read and the one that is known. It
// returns a problem that is to be reported, and whether another record is in
// force now. While a write is queued, the writer decides, because it looks right
// before it writes. l.mu is held.
func (l *Ledger) merge(b *binding, e *entry, f found) (news error, changed bool) {
	e.seenSeq = max(e.seenSeq, f.rec.Seq)
	e.lost = false
	there := e.rec.Value != nil
	switch {
	case e.queued != nil:
		return nil, false
	case f.broken == nil && there && f.rec.sameWord(e.rec):
		changed = f.rec.Seq != e.rec.Seq
		e.rec.Seq, e.trouble = f.rec.Seq, ""
		return nil, changed
	case there && e.putHere && !f.rec.Replaces(e.rec, true),
		there && f.broken == nil && !b.unread && !f.rec.Replaces(e.rec, true):
		e.trouble = ""
		e.queueWrite(queuedWrite{base: e.rec, placed: true}) // written by a node that did not know ours
		return nil, false
	}
	return l.take(e, f)
}

// take puts a record in force that the place has. A broken one is only noted.
// l.mu is held.
func (l *Ledger) take(e *entry, f found) (news error, changed bool) {
	e.dropWrite()
	if f.broken != nil {
		if e.trouble != f.broken.Error() {
			e.trouble, news = f.broken.Error(), f.broken
		}
		return news, false
	}
	e.putHere = false
	e.trouble = ""
	if !f.ends.IsZero() && !f.ends.After(time.Now()) {
		changed = e.rec.Value != nil
		e.rec = f.rec
		l.retire(e)
		return nil, changed
	}
	changed = !f.rec.Same(e.rec)
	l.replace(e, f.rec, f.ends)
	return nil, changed
}

// noteMissing handles the records that the place does not have, after all were
// read. After the first reading of a place there is no such record, unless it
// was put in this process. After a later one, a record younger than a day is
// written again. An older one stays in force, but counts as not stored: another
// node may have replaced it, and that record may have ended.
func (l *Ledger) noteMissing(b *binding, found map[string]bool) {
	l.mu.Lock()
	if b != l.bound {
		l.mu.Unlock()
		return
	}
	var gone []string
	for key, e := range l.entries {
		if found[key] || e.putHere || e.queued != nil {
			continue
		}
		e.trouble = ""
		if b.unread || e.rec.Value == nil {
			delete(l.entries, key)
			l.forgottenSeq = max(l.forgottenSeq, e.rec.Seq, e.seenSeq)
			gone = append(gone, key)
		}
	}
	for key, e := range l.entries { // removed by somebody: in force, but not stored
		if found[key] || b.unread || e.rec.Value == nil || e.queued != nil {
			continue
		}
		if e.lost = time.Since(e.rec.SaidAt) > maxRewriteAge; !e.lost {
			e.queueWrite(queuedWrite{base: e.rec, placed: true})
		}
	}
	l.startWriter()
	l.mu.Unlock()
	l.notify(gone...)
}
