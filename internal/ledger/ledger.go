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
	// maxHistory is how many records of a key are remembered.
	maxHistory = 16
	// maxRecords is how many records of a kind are read. What is beyond is
	// left aside, and said.
	maxRecords = 10_000
	// rewrites is how old a record may be that is written again where its place has
	// lost it. Of an older one nobody knows whether a later one was there, and was
	// removed after its day.
	rewrites = 24 * time.Hour
	// lookAgain bounds how long a change of the wall clock can go unnoticed.
	lookAgain = time.Minute
	// flushLook is how often Flush looks whether everything is written.
	flushLook = 5 * time.Millisecond
)

// ErrConflict is returned by [Ledger.Put] when something else was said since.
var ErrConflict = errors.New("the record has changed since it was read")

// Kind is one sort of records.
type Kind struct {
	// Prefix of the keys: gates/.
	Prefix string
	// Fields of the values that this version knows. Others are kept.
	Fields []string
	// Name reports whether a record of the kind can have this name. Files
	// beside the records are left alone.
	Name func(name string) bool
	// Valid refuses a record, read or put, that may not be said, and returns when it
	// may be removed. Zero: it stays. One that means nothing any more is kept for a
	// day, so that others who read the place hear of it.
	Valid func(name string, r Record) (ends time.Time, err error)
}

// Reports is told what goes wrong. The calls come from the goroutines that read
// and write: they must not block. Each trouble is told once while it lasts.
type Reports struct {
	// Unreadable: the place cannot be read, or not through.
	Unreadable func(error)
	// Broken: one record cannot be taken.
	Broken func(key string, err error)
	// Unwritten: one record cannot be written. It is tried again after a while.
	Unwritten func(key string, after time.Duration, err error)
}

// Ledger is the records of a process. Safe for concurrent use.
type Ledger struct {
	// Set once by New.
	kinds   []Kind
	reports Reports

	mu       sync.Mutex // guards the fields below
	by       string
	floor    uint64 // the highest seq of a key that was forgotten
	entries  map[string]*entry
	site     *site // nil: no place yet
	lanes    []*lane
	watchers map[string][]func(key string)
	sweep    *time.Timer // nil: no record has an end
	sweepAt  time.Time
}

// entry is what is known of a key.
type entry struct {
	rec     Record // Value nil: nothing is said
	said    bool   // in this process; else it was read
	stale   bool   // it was read in another place than the one in use
	ends    time.Time
	seen    uint64 // the highest seq that was read, whatever it meant
	trouble string // why what was read is not taken
	lost    bool   // its place does not have it any more
	dirty   *debt  // nil: the place has it
	history []Record
}

// debt is what the place does not have yet. It is never modified: another one
// replaces it.
type debt struct {
	check bool   // most likely it is there: look first
	gone  Record // delete it, if it is still this one or an older one
	force bool   // delete it, whatever it is
	done  chan struct{}
}

// New returns a ledger without a place. by names this node until
// [Ledger.SetBy] gives it a better name.
func New(by string, reports Reports, kinds ...Kind) *Ledger {
	l := &Ledger{kinds: kinds, reports: reports, entries: make(map[string]*entry), watchers: make(map[string][]func(string))}
	l.SetBy(by)
	return l
}

// SetBy names this node in the records to come. A name that no ETag could carry
// is left aside.
func (l *Ledger) SetBy(by string) {
	if by == "" || !validBy(by) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.by = by
}

// Watch calls changed with the key of each record that became another one by
// reading, or whose end has come; not after a Put. The records may be another
// one again by then: ask for it. Watch before the first Bind.
func (l *Ledger) Watch(prefix string, changed func(key string)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers[prefix] = append(l.watchers[prefix], changed)
}

// tell calls who watches the keys. l.mu is not held.
func (l *Ledger) tell(keys ...string) {
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

// Get returns what is said under a key. ok is false when nothing is.
func (l *Ledger) Get(key string) (r Record, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[key]
	if e == nil || e.rec.Value == nil {
		return Record{Key: key}, false
	}
	return e.rec, true
}

// Keys returns the keys of a kind under which something is said, sorted.
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

// History returns what was said under a key, as far as this process knows,
// oldest first: at most 16 records.
func (l *Ledger) History(key string) []Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.entries[key]; e != nil {
		return slices.Clone(e.history)
	}
	return nil
}

// Put says something under a key: it is in force at once, and written as soon
// as can be. expect is the tag of what it replaces ([NoTag]: nothing); with
// another one in force it fails with [ErrConflict]. Empty: whatever is there.
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
	r := Record{Key: key, Value: value, Seq: l.nextSeq(e), By: l.by, SaidAt: now.UTC(), V: Version}
	if _, err := r.encode(); err != nil {
		return e.rec, err
	}
	if kept, err := carryOver(value, e.rec.Value, k.Fields); err == nil {
		r.Value = kept
		if _, err := r.encode(); err != nil {
			r.Value = value // with fields that are not known here it is too long: what is said now counts
		}
	}
	ends, err := k.Valid(strings.TrimPrefix(key, k.Prefix), r)
	if err != nil {
		return e.rec, err
	}
	l.entries[key] = e
	e.said = true
	l.take(e, r, ends)
	e.owe(debt{})
	l.startWriter()
	return r, nil
}

// Renew says again what is in force already: it is looked for in its place, and
// written there if it has gone. It stays what it is, and counts as said here.
func (l *Ledger) Renew(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[key]
	if e == nil || e.rec.Value == nil {
		return
	}
	e.said = true
	if e.dirty == nil {
		e.owe(debt{check: true})
	}
	l.startWriter()
}

// take puts a record in force. l.mu is held.
func (l *Ledger) take(e *entry, r Record, ends time.Time) {
	e.rec, e.ends, e.trouble, e.stale, e.lost = r, ends, "", false, false
	e.seen = max(e.seen, r.Seq)
	if len(e.history) == maxHistory {
		e.history = append(e.history[:0:0], e.history[1:]...)
	}
	e.history = append(e.history, r)
	l.armSweep(ends)
}

// owe notes that the place does not have what is in force. l.mu is held.
func (e *entry) owe(d debt) {
	d.done = make(chan struct{})
	if before := e.dirty; before != nil {
		d.done = before.done
	}
	e.dirty = &d
}

// nextSeq is one more than the highest number that is known. l.mu is held.
func (l *Ledger) nextSeq(e *entry) uint64 { return max(e.rec.Seq, e.seen, l.floor) + 1 }

func tagOf(r Record) string {
	if r.Value == nil {
		return NoTag
	}
	return r.Tag()
}

// Tag returns the tag of what is in force under a key.
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
