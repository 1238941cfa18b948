package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
)

const (
	// readRetry is how soon a place that could not be read is read again. If
	// some of its records are broken, the pause doubles up to readRetryMost.
	readRetry     = 3 * time.Second
	readRetryMost = time.Minute
)

// AwaitRead returns when the place was read, or could not be read, when ctx
// ends, or 5 s after Bind. All callers share these 5 s.
func (l *Ledger) AwaitRead(ctx context.Context) {
	l.mu.Lock()
	b := l.bound
	l.mu.Unlock()
	if b != nil {
		select {
		case <-b.ready:
		case <-ctx.Done():
		}
	}
}

// readTimedOut ends the wait for a place that does not answer.
func (l *Ledger) readTimedOut(b *binding) {
	err := fmt.Errorf("not fully read after %s", ReadWait)
	l.mu.Lock()
	say := b == l.bound && b.trouble != err.Error()
	if b.unread {
		b.trouble = err.Error()
	}
	b.setReady()
	l.mu.Unlock()
	if say {
		l.reports.Unreadable(err)
	}
}

// startReader starts to read the place. If a reading is under way, another one
// follows it. l.mu is held.
func (l *Ledger) startReader(b *binding) {
	if b.reading {
		b.readAgain = true
		return
	}
	if b.retry != nil {
		b.retry.Stop()
		b.retry = nil
	}
	b.reading = true
	b.lane.users++
	go l.read(b)
}

// read reads the place, again and again while another reading is due. Each
// record counts as soon as it is read.
func (l *Ledger) read(b *binding) {
	for again := true; again; {
		late := time.AfterFunc(ReadWait, func() { l.readTimedOut(b) })
		err := l.readAll(b)
		late.Stop()
		again = l.finishRead(b, err)
	}
}

// current returns the newest value of a binding's place. ok is false if the
// ledger has left the binding.
func (l *Ledger) current(b *binding) (p Place, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return b.place, b == l.bound
}

// readAll reads all records of all kinds.
func (l *Ledger) readAll(b *binding) error {
	found := make(map[string]bool)
	for i := range l.kinds {
		k := &l.kinds[i]
		p, ok := l.current(b)
		if !ok {
			return nil
		}
		keys, err := readInTurn(b, p, func(ctx context.Context, p Place) ([]string, error) { return p.List(ctx, k.Prefix) })
		if err != nil {
			return fmt.Errorf("listing %s: %w", k.Prefix, err)
		}
		for _, key := range l.recordKeys(k, keys) {
			if p, ok = l.current(b); !ok {
				return nil
			}
			since := l.changesOf(key)
			raw, err := readInTurn(b, p, func(ctx context.Context, p Place) ([]byte, error) { return p.Load(ctx, key) })
			switch {
			case errors.Is(err, errLeft):
				return nil
			case errors.Is(err, fs.ErrNotExist):
				continue
			}
			found[key] = true
			l.handleRead(b, key, raw, err, since)
		}
	}
	l.noteMissing(b, found)
	return nil
}

// recordKeys returns the keys that can belong to a kind, sorted, each once, at
// most maxRecords.
func (l *Ledger) recordKeys(k *Kind, keys []string) []string {
	keys = slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
		return !strings.HasPrefix(key, k.Prefix) || !k.ValidName(strings.TrimPrefix(key, k.Prefix))
	})
	slices.Sort(keys)
	keys = slices.Compact(keys)
	if len(keys) > maxRecords {
		l.reports.Unreadable(fmt.Errorf("%s has %d records: %d of them are read", k.Prefix, len(keys), maxRecords))
		keys = keys[:maxRecords]
	}
	return keys
}

// finishRead notes the result of a reading, and reports whether to read again
// at once.
func (l *Ledger) finishRead(b *binding, err error) (again bool) {
	l.mu.Lock()
	var say error
	defer func() {
		l.mu.Unlock()
		if say != nil {
			l.reports.Unreadable(say)
		}
	}()
	if b != l.bound {
		b.endReader()
		return false
	}
	pause := readRetry
	switch {
	case err != nil:
		if b.trouble != err.Error() {
			b.trouble, say = err.Error(), err
		}
	case l.anyTrouble():
		b.unread, b.trouble = false, ""
		pause, b.retryAfter = b.retryAfter, min(2*b.retryAfter, readRetryMost)
	default:
		b.unread, b.trouble, b.retryAfter, pause = false, "", readRetry, 0
	}
	b.setReady()
	if b.readAgain {
		b.readAgain = false
		return true
	}
	b.endReader()
	if pause > 0 {
		b.retry = time.AfterFunc(pause, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if b == l.bound {
				l.startReader(b)
			}
		})
	}
	return false
}

// endReader notes that no reading is under way. Ledger.mu is held.
func (b *binding) endReader() {
	b.reading = false
	b.lane.users--
}

// anyTrouble reports whether any record is broken. l.mu is held.
func (l *Ledger) anyTrouble() bool {
	for _, e := range l.entries {
		if e.trouble != "" {
			return true
		}
	}
	return false
}
