package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// ReadWait is how long a start waits for a place to be read, in all.
	ReadWait = 5 * time.Second
	// maxHistory is how many records of a key a ledger keeps in memory.
	maxHistory = 16
	// maxRecords is how many records of a kind are read. If there are more, the
	// rest is not read, and this is reported.
	maxRecords = 10_000
	// maxRewriteAge bounds the age of a record that is written again if its
	// place has lost it. Nobody knows whether an older one was replaced by a
	// later record, which was removed when it had ended.
	maxRewriteAge = 24 * time.Hour
	// maxSleep is how long a timer sleeps at most, so that a change of the wall
	// clock is noticed by then.
	maxSleep = time.Minute
	// flushPoll is how often Flush checks whether everything is written.
	flushPoll = 5 * time.Millisecond
)

// ErrConflict is returned by [Ledger.Put] if the record in force is not the one
// that the caller expects.
var ErrConflict = errors.New("the record has changed since it was read")

// Kind is one sort of records.
type Kind struct {
	// Prefix begins each key of the kind: gates/.
	Prefix string
	// Fields are the fields of a value that this version knows. Others are kept.
	// The fields of an object inside have names with dots: closing.code.
	Fields []string
	// ValidName reports whether a record of the kind can have this name. A file
	// with another name is ignored.
	ValidName func(name string) bool
	// Validate refuses a record, read or put, with a value that is not allowed.
	// It returns when the record ends: then it is removed. Zero: never. A
	// record that has lost its effect ends one day later, so that the other
	// nodes that read the place see it.
	Validate func(name string, r Record) (ends time.Time, err error)
}

// Reports are called when something goes wrong. The goroutines that read and
// write call them, so they must not block. A problem that lasts is reported
// once.
type Reports struct {
	// Unreadable: the place cannot be read, or only a part of it.
	Unreadable func(error)
	// Broken: one record cannot be used.
	Broken func(key string, err error)
	// Unwritten: one record cannot be written. The ledger tries again after the
	// given time.
	Unwritten func(key string, after time.Duration, err error)
}

// Ledger holds the records of a process. Safe for concurrent use.
type Ledger struct {
	// Set once by New.
	kinds   []Kind
	reports Reports

	mu           sync.Mutex // guards the fields below
	by           string
	forgottenSeq uint64 // the highest seq of all keys whose entries were deleted
	entries      map[string]*entry
	bound        *binding // nil: there is no place yet
	lanes        []*lane
	watchers     map[string][]func(key string)
	sweep        *time.Timer // nil: no record has an end
	sweepAt      time.Time
}

// entry is what the ledger knows of a key.
type entry struct {
	rec     Record // Value nil: there is no record
	putHere bool   // it was put in this process; otherwise it was read
	ends    time.Time
	seenSeq uint64       // the highest seq that was read, even if the record was broken
	trouble string       // why the record that was read is not used
	lost    bool         // the place has lost it
	queued  *queuedWrite // nil: the place has the record in force
	changes uint64       // counts puts, writes and ends, so that an answer from before one is told apart
	history []Record
}

// New returns a ledger without a place. by names this node until [Ledger.SetBy]
// gives it another name.
func New(by string, reports Reports, kinds ...Kind) *Ledger {
	l := &Ledger{kinds: kinds, reports: reports, entries: make(map[string]*entry), watchers: make(map[string][]func(string))}
	l.SetBy(by)
	return l
}

// SetBy names this node in the records to come. It ignores a name that does not
// fit into an ETag.
func (l *Ledger) SetBy(by string) {
	if by == "" || !validBy(by) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.by = by
}

// Watch calls changed with the key of each record that a reading has changed,
// or that has ended. It does not call it after a Put. The record may have
// changed again by then, so changed asks [Ledger.Get]. Call Watch before the
// first Bind.
func (l *Ledger) Watch(prefix string, changed func(key string)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers[prefix] = append(l.watchers[prefix], changed)
}

// notify calls the watchers of the keys. l.mu is not held.
func (l *Ledger) notify(keys ...string) {
	for _, key := range keys {
		l.mu.Lock()
		var who []func(string)
		for prefix, watchers := range l.watchers {
			if strings.HasPrefix(key, prefix) {
				who = append(who, watchers...)
			}
		}
		l.mu.Unlock()
		for _, changed := range who {
			changed(key)
		}
	}
}

// Get returns the record in force under a key. ok is false if there is none.
func (l *Ledger) Get(key string) (r Record, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[key]
	if e == nil || e.rec.Value == nil {
		return Record{Key: key}, false
	}
	return e.rec, true
}

// Keys returns the keys of a kind that have a record, sorted.
func (l *Ledger) Keys(prefix string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(func(yield func(string) bool) {
		for key, e := range l.entries {
			if strings.HasPrefix(key, prefix) && e.rec.Value != nil && !yield(key) {
				return
			}
		}
	})
}

// History returns the records of a key that this process knows, oldest first:
// at most 16.
func (l *Ledger) History(key string) []Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.entries[key]; e != nil {
		return slices.Clone(e.history)
	}
	return nil
}

// Put puts a value in force under a key, at once, and has it written as soon as
// possible. expect is the tag of the record that it replaces ([NoTag]: there is
// none). If another one is in force, Put returns [ErrConflict]. Empty: replace
// any record.
func (l *Ledger) Put(key string, value json.RawMessage, expect string, now time.Time) (Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kind(key)
	if k == nil {
		return Record{}, fmt.Errorf("no kind of records has the key %q", key)
	}
	e := l.entries[key]
	if e == nil {
		e = &entry{rec: Record{Key: key}}
	}
	if expect != "" && expect != tagOf(e.rec) {
		return e.rec, ErrConflict
	}
	r, ends, err := l.newRecord(k, e, value, now)
	if err != nil {
		return e.rec, err
	}
	l.entries[key] = e
	before := e.known()
	l.putInForce(e, r, ends)
	e.queueWrite(queuedWrite{base: r, before: before, saidAt: now})
	l.startWriter()
	return r, nil
}

// Repeat says once more what is in force under a key: the record with the tag
// expect. If another one is in force, Repeat returns [ErrConflict]. If the place has the
// record in force, nothing changes. If it has lost the record, it gets it
// again. If it has another one, that of another process, value is put in force
// and replaces it, as with [Ledger.Put]. The watchers are called then.
func (l *Ledger) Repeat(key string, value json.RawMessage, expect string, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kind(key)
	if k == nil {
		return fmt.Errorf("no kind of records has the key %q", key)
	}
	e := l.entries[key]
	if e == nil {
		e = &entry{rec: Record{Key: key}}
	}
	if expect != tagOf(e.rec) {
		return ErrConflict
	}
	r, ends, err := l.newRecord(k, e, value, now)
	if err != nil {
		return err
	}
	if e.rec.Value == nil && l.bound == nil {
		return nil // there is no other record anywhere
	}
	l.entries[key] = e
	e.putHere = true
	e.queueWrite(queuedWrite{base: r, before: e.known(), saidAt: now, again: true, ends: ends})
	l.startWriter()
	return nil
}

// End puts a value in force because the record with the tag expect has come to
// its end. Nobody says the value now. So a record of another process that the
// place has meanwhile stays, and is put in force.
func (l *Ledger) End(key string, value json.RawMessage, expect string, now time.Time) (Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k, e := l.kind(key), l.entries[key]
	if k == nil || e == nil || e.rec.Value == nil || expect != tagOf(e.rec) {
		return Record{}, ErrConflict
	}
	r, ends, err := l.newRecord(k, e, value, now)
	if err != nil {
		return e.rec, err
	}
	ended, before, placed := e.rec, e.known(), e.queued == nil
	l.putInForce(e, r, ends)
	e.queueWrite(queuedWrite{base: ended, before: before, placed: placed, ended: true})
	l.startWriter()
	return r, nil
}

// newRecord returns the record of a value that this process puts, and when the
// record ends. l.mu is held.
func (l *Ledger) newRecord(k *Kind, e *entry, value json.RawMessage, now time.Time) (r Record, ends time.Time, err error) {
	r = Record{Key: e.rec.Key, Seq: l.nextSeq(e), By: l.by, SaidAt: now.UTC().Round(0), V: Version}
	if r.Value, err = canonical(value); err != nil {
		return r, ends, err
	}
	if _, err := r.encode(); err != nil {
		return r, ends, err
	}
	if kept, err := carryOver(r.Value, e.rec.Value, k.Fields, ""); err == nil {
		short := r.Value
		r.Value = kept
		if _, err := r.encode(); err != nil {
			r.Value = short // too long with the unknown fields: they are dropped
		}
	}
	ends, err = k.Validate(strings.TrimPrefix(e.rec.Key, k.Prefix), r)
	return r, ends, err
}

// putInForce replaces the record of a key by one of this process. l.mu is held.
func (l *Ledger) putInForce(e *entry, r Record, ends time.Time) {
	e.putHere = true
	l.replace(e, r, ends)
}

// replace replaces the record of a key. l.mu is held.
func (l *Ledger) replace(e *entry, r Record, ends time.Time) {
	e.rec, e.ends, e.trouble, e.lost = r, ends, "", false
	e.seenSeq = max(e.seenSeq, r.Seq)
	e.changes++
	if len(e.history) == maxHistory {
		e.history = append(e.history[:0:0], e.history[1:]...)
	}
	e.history = append(e.history, r)
	l.armSweep(ends)
}

// nextSeq is one more than the highest seq known for a key. l.mu is held.
func (l *Ledger) nextSeq(e *entry) uint64 {
	return min(max(e.rec.Seq, e.seenSeq, l.forgottenSeq)+1, maxSeq)
}

func tagOf(r Record) string {
	if r.Value == nil {
		return NoTag
	}
	return r.Tag()
}

// Tag returns the tag of the record in force under a key.
func (l *Ledger) Tag(key string) string {
	r, _ := l.Get(key)
	return tagOf(r)
}

// kind returns the kind of a key. Nil: there is none.
func (l *Ledger) kind(key string) *Kind {
	for i := range l.kinds {
		if strings.HasPrefix(key, l.kinds[i].Prefix) {
			return &l.kinds[i]
		}
	}
	return nil
}
