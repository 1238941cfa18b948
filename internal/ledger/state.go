package ledger

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"
)

// Pending returns the keys whose records are not written yet, sorted.
func (l *Ledger) Pending() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(func(yield func(string) bool) {
		for key, e := range l.entries {
			if e.queued != nil && !yield(key) {
				return
			}
		}
	})
}

// Stored reports whether the place has what is in force under a key. It is
// false while the place was not read: it may have another record.
func (l *Ledger) Stored(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stored(key)
}

// stored is Stored. l.mu is held.
func (l *Ledger) stored(key string) bool {
	e := l.entries[key]
	if e != nil && (e.queued != nil || e.trouble != "" || e.lost) {
		return false
	}
	return l.bound == nil || !l.bound.unread || e != nil && e.putHere
}

// Trouble returns why the record that the place has under a key is not in
// force. Empty: there is no problem.
func (l *Ledger) Trouble(key string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.entries[key]; e != nil && (e.putHere || e.trouble != "") {
		return e.trouble
	}
	return l.readTrouble()
}

// Troubles returns the first record of a kind that cannot be read, and why.
// Empty: all can be read.
func (l *Ledger) Troubles(prefix string) (trouble string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if trouble := l.readTrouble(); trouble != "" {
		return trouble
	}
	for _, key := range slices.Sorted(maps.Keys(l.entries)) {
		if e := l.entries[key]; e.trouble != "" && strings.HasPrefix(key, prefix) {
			return strings.TrimPrefix(key, prefix) + ": " + e.trouble
		}
	}
	return ""
}

// Exhausted reports whether the record of a key has the highest number there is.
// The next record gets the same number, and only its time tells that it is later.
func (l *Ledger) Exhausted(key string) bool {
	r, _ := l.Get(key)
	return r.Seq == maxSeq
}

// readTrouble returns why the place was not read. l.mu is held.
func (l *Ledger) readTrouble() string {
	if l.bound != nil && l.bound.unread {
		return l.bound.trouble
	}
	return ""
}

// AwaitStored returns when the place has what is in force under a key, when
// there is nothing left to wait for, or when ctx ends. It reports whether the
// place has it.
func (l *Ledger) AwaitStored(ctx context.Context, key string) bool {
	for {
		stored, next := l.storedOrWait(key)
		if stored || next == nil {
			return stored
		}
		select {
		case <-next:
		case <-ctx.Done():
			return false
		}
	}
}

// storedOrWait reports whether the place has what is in force under a key, or
// returns what to wait for. Nil: nothing.
func (l *Ledger) storedOrWait(key string) (stored bool, next <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e := l.entries[key]; {
	case l.stored(key):
		return true, nil
	case e != nil && e.queued != nil:
		return false, e.queued.done
	case l.bound != nil && !l.bound.isReady:
		return false, l.bound.ready
	}
	return false, nil
}

// Unstored returns the keys whose records would be lost if the process ended
// now, sorted. A record that has ended is none of them.
func (l *Ledger) Unstored() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(func(yield func(string) bool) {
		for key, e := range l.entries {
			if e.queued != nil && (e.rec.Value != nil || e.queued.again) && !yield(key) {
				return
			}
		}
	})
}

// Flush has everything that is queued tried once more. It returns when that was
// done, when the place hangs, or when ctx ends.
func (l *Ledger) Flush(ctx context.Context) {
	l.mu.Lock()
	b := l.bound
	until := uint64(0)
	if b != nil {
		l.startWriter()
		if until = b.rounds + 1; !b.pausing {
			until++ // the round that is under way may have tried a write long ago
		}
	}
	l.mu.Unlock()
	tick := time.NewTicker(flushPoll)
	defer tick.Stop()
	for b != nil && l.isWriting(b, until) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// isWriting reports whether a round of the writer before the given one is under
// way, and the place does not hang. l.mu is not held.
func (l *Ledger) isWriting(b *binding, until uint64) bool {
	hangs := b.lane.readHangs()
	l.mu.Lock()
	defer l.mu.Unlock()
	return b == l.bound && b.writing && b.isReady && b.rounds < until && !hangs &&
		(b.writeBegan.IsZero() || time.Since(b.writeBegan) < hangsAfter)
}
