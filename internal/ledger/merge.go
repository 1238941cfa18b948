package ledger

import (
	"strings"
	"time"
)

// found takes a record that was read, if it counts.
func (l *Ledger) found(s *site, k *Kind, key string, raw []byte, err error) {
	var r Record
	var ends time.Time
	if err == nil {
		r, err = decode(key, raw)
	}
	if err == nil {
		ends, err = k.Valid(strings.TrimPrefix(key, k.Prefix), r)
	}
	l.mu.Lock()
	if s != l.site {
		l.mu.Unlock()
		return
	}
	e := l.entries[key]
	if e == nil {
		e = &entry{rec: Record{Key: key}}
		l.entries[key] = e
	}
	if err != nil {
		say := l.broken(e, r, err)
		l.mu.Unlock()
		if say {
			l.reports.Broken(key, err)
		}
		return
	}
	changed := l.merge(s, e, r, ends)
	l.startWriter()
	l.mu.Unlock()
	if changed {
		l.tell(key)
	}
}

// broken notes a record that cannot be taken, and reports whether that is news.
// What was said in this process replaces it. l.mu is held.
func (l *Ledger) broken(e *entry, r Record, err error) (say bool) {
	e.seen = max(e.seen, r.Seq)
	if e.said {
		if e.rec.Value != nil {
			e.rec.Seq = max(e.rec.Seq, r.Seq+1)
			e.owe(debt{})
			l.startWriter()
		}
		return false
	}
	say = e.trouble != err.Error()
	e.trouble = err.Error()
	return say
}

// merge decides between what was read and what is known, and reports whether
// something else is in force now. l.mu is held.
func (l *Ledger) merge(s *site, e *entry, r Record, ends time.Time) (changed bool) {
	e.seen = max(e.seen, r.Seq)
	e.trouble = ""
	there := e.rec.Value != nil
	e.lost = false
	switch {
	case there && r.Same(e.rec) && !e.stale:
		return false
	case !there && e.dirty != nil: // its end has come here, and its place has yet to hear of it
		if e.dirty.force || !r.Later(e.dirty.gone) {
			return false
		}
	case e.said && (s.unread || e.dirty != nil): // what was said here wins
		if e.rec.Seq > r.Seq {
			return false
		}
		e.rec.Seq = r.Seq + 1
		e.owe(debt{})
		return true
	case s.unread, e.stale, r.Later(e.rec):
	case r.numberless() && e.dirty == nil: // an older wsgate, which knows no numbers, has put it in place of ours
	default: // somebody who did not know ours has put it there
		e.owe(debt{})
		return false
	}
	e.dismiss()
	e.said = false
	if !ends.IsZero() && !ends.After(time.Now()) {
		e.rec = r
		l.retire(e)
		return there
	}
	changed = !r.Same(e.rec)
	l.take(e, r, ends)
	return changed
}

// missing notes what a place that was read through does not have. At its first
// reading there is no such record then, unless it was said in this process. Later
// it is written again if it is younger than a day: a place that has lost everything
// says nothing, but one that has lost an old record may have had a later one.
func (l *Ledger) missing(s *site, found map[string]bool) {
	l.mu.Lock()
	if s != l.site {
		l.mu.Unlock()
		return
	}
	var gone []string
	for key, e := range l.entries {
		if found[key] || e.said || e.dirty != nil {
			continue
		}
		e.trouble = ""
		if s.unread || e.rec.Value == nil {
			delete(l.entries, key)
			l.floor = max(l.floor, e.rec.Seq, e.seen)
			gone = append(gone, key)
		}
	}
	for key, e := range l.entries { // what somebody has taken away is in force, and not stored
		if found[key] || s.unread || e.rec.Value == nil || e.dirty != nil {
			continue
		}
		if e.lost = time.Since(e.rec.SaidAt) > rewrites; !e.lost {
			e.owe(debt{check: true})
		}
	}
	l.startWriter()
	l.mu.Unlock()
	l.tell(gone...)
}
