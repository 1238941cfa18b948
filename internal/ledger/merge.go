package ledger

import (
	"strings"
	"time"
)

// handleRead handles the answer to one read: a record, or the error.
func (l *Ledger) handleRead(b *binding, k *Kind, key string, raw []byte, err error) {
	var r Record
	var ends time.Time
	if err == nil {
		r, err = decode(key, raw)
	}
	if err == nil {
		ends, err = k.Validate(strings.TrimPrefix(key, k.Prefix), r)
	}
	l.mu.Lock()
	if b != l.bound {
		l.mu.Unlock()
		return
	}
	e := l.entries[key]
	if e == nil {
		e = &entry{rec: Record{Key: key}}
		l.entries[key] = e
	}
	if err != nil {
		say := l.noteBroken(e, r, err)
		l.mu.Unlock()
		if say {
			l.reports.Broken(key, err)
		}
		return
	}
	changed := l.merge(b, e, r, ends)
	l.startWriter()
	l.mu.Unlock()
	if changed {
		l.notify(key)
	}
}

// noteBroken notes a record that cannot be used, and reports whether this is
// new. A record that was put in this process replaces it. l.mu is held.
func (l *Ledger) noteBroken(e *entry, r Record, err error) (say bool) {
	e.seenSeq = max(e.seenSeq, r.Seq)
	if e.putHere {
		if e.rec.Value != nil {
			e.rec.Seq = max(e.rec.Seq, r.Seq+1)
			e.queueWrite(queuedWrite{})
			l.startWriter()
		}
		return false
	}
	say = e.trouble != err.Error()
	e.trouble = err.Error()
	return say
}

// merge decides between the record that was read and the one that is known. It
// reports whether another one is in force now. l.mu is held.
func (l *Ledger) merge(b *binding, e *entry, r Record, ends time.Time) (changed bool) {
	e.seenSeq = max(e.seenSeq, r.Seq)
	e.trouble = ""
	there := e.rec.Value != nil
	e.lost = false
	switch {
	case there && r.Same(e.rec) && !e.stale:
		return false
	case !there && e.queued != nil: // it has ended here, and is not deleted in the place yet
		if e.queued.force || !r.Later(e.queued.gone) {
			return false
		}
	case e.putHere && (b.unread || e.queued != nil): // the record of this process wins
		if e.rec.Seq > r.Seq {
			return false
		}
		e.rec.Seq = r.Seq + 1
		e.queueWrite(queuedWrite{})
		return true
	case b.unread, e.stale, r.Later(e.rec):
	case r.unnumbered() && e.queued == nil: // an older wsgate, which writes no seq, has replaced our record
	default: // a node that did not know our record has replaced it
		e.queueWrite(queuedWrite{})
		return false
	}
	e.dropWrite()
	e.putHere = false
	if !ends.IsZero() && !ends.After(time.Now()) {
		e.rec = r
		l.retire(e)
		return there
	}
	changed = !r.Same(e.rec)
	l.putInForce(e, r, ends)
	return changed
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
			e.queueWrite(queuedWrite{})
		}
	}
	l.startWriter()
	l.mu.Unlock()
	l.notify(gone...)
}
