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
	// readRetry is how soon a place that could not be read is read again. With
	// records in it that cannot be taken, the pause doubles up to readRetryMost.
	readRetry     = 3 * time.Second
	readRetryMost = time.Minute
)

// AwaitRead returns when the place was read or could not be, when ctx ends, at
// the latest 5 s after the place came: all who wait share these.
func (l *Ledger) AwaitRead(ctx context.Context) {
	l.mu.Lock()
	s := l.site
	l.mu.Unlock()
	if s != nil {
		select {
		case <-s.ready:
		case <-ctx.Done():
		}
	}
}

// late lets go who waits for a place that does not answer.
func (l *Ledger) late(s *site) {
	err := fmt.Errorf("not read through after %s", ReadWait)
	l.mu.Lock()
	say := s == l.site && s.trouble != err.Error()
	if s.unread {
		s.trouble = err.Error()
	}
	s.setReady()
	l.mu.Unlock()
	if say {
		l.reports.Unreadable(err)
	}
}

// startReader has a place read, once more if that is being done. l.mu is held.
func (l *Ledger) startReader(s *site) {
	if s.reading {
		s.again = true
		return
	}
	if s.retry != nil {
		s.retry.Stop()
		s.retry = nil
	}
	s.reading = true
	s.lane.users++
	go l.read(s)
}

// read goes through all records of a place. Each counts as soon as it is read.
func (l *Ledger) read(s *site) {
	for again := true; again; {
		late := time.AfterFunc(ReadWait, func() { l.late(s) })
		err := l.readThrough(s)
		late.Stop()
		again = l.readDone(s, err)
	}
}

// current returns the newest value that stands for a site's place. ok is false
// when the site is none any more.
func (l *Ledger) current(s *site) (p Place, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return s.place, s == l.site
}

func (l *Ledger) readThrough(s *site) error {
	found := make(map[string]bool)
	for i := range l.kinds {
		k := &l.kinds[i]
		p, ok := l.current(s)
		if !ok {
			return nil
		}
		keys, err := inTurn(s, p, func(ctx context.Context, p Place) ([]string, error) { return p.List(ctx, k.Prefix) })
		if err != nil {
			return fmt.Errorf("listing %s: %w", k.Prefix, err)
		}
		for _, key := range l.worthReading(k, keys) {
			if p, ok = l.current(s); !ok {
				return nil
			}
			raw, err := inTurn(s, p, func(ctx context.Context, p Place) ([]byte, error) { return p.Load(ctx, key) })
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			found[key] = true
			l.found(s, k, key, raw, err)
		}
	}
	l.missing(s, found)
	return nil
}

// worthReading returns the keys that can be of a kind, each once, in order, and
// not more than is good.
func (l *Ledger) worthReading(k *Kind, keys []string) []string {
	keys = slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
		return !strings.HasPrefix(key, k.Prefix) || !k.Name(strings.TrimPrefix(key, k.Prefix))
	})
	slices.Sort(keys)
	keys = slices.Compact(keys)
	if len(keys) > maxRecords {
		l.reports.Unreadable(fmt.Errorf("%s has %d records: %d of them are read", k.Prefix, len(keys), maxRecords))
		keys = keys[:maxRecords]
	}
	return keys
}

// readDone notes how a reading went, and reports whether to read once more.
func (l *Ledger) readDone(s *site, err error) (again bool) {
	l.mu.Lock()
	var say error
	defer func() {
		l.mu.Unlock()
		if say != nil {
			l.reports.Unreadable(say)
		}
	}()
	if s != l.site {
		s.endReader()
		return false
	}
	pause := readRetry
	switch {
	case err != nil:
		if s.trouble != err.Error() {
			s.trouble, say = err.Error(), err
		}
	case l.anyTrouble():
		s.unread, s.trouble = false, ""
		pause, s.pause = s.pause, min(2*s.pause, readRetryMost)
	default:
		s.unread, s.trouble, s.pause, pause = false, "", readRetry, 0
	}
	s.setReady()
	if s.again {
		s.again = false
		return true
	}
	s.endReader()
	if pause > 0 {
		s.retry = time.AfterFunc(pause, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if s == l.site {
				l.startReader(s)
			}
		})
	}
	return false
}

// endReader notes that no reading is under way. Ledger.mu is held.
func (s *site) endReader() {
	s.reading = false
	s.lane.users--
}

// anyTrouble reports whether there is a record that cannot be taken. l.mu is
// held.
func (l *Ledger) anyTrouble() bool {
	for _, e := range l.entries {
		if e.trouble != "" {
			return true
		}
	}
	return false
}
