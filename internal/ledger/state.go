package ledger

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"
)

// Pending returns the keys of what the place does not have yet, sorted.
func (l *Ledger) Pending() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(func(yield func(string) bool) {
		for key, e := range l.entries {
			if e.dirty != nil && !yield(key) {
				return
			}
		}
	})
}

// Stored reports whether the place has what is in force under a key, and was
// read, so that nothing else may be there.
func (l *Ledger) Stored(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[key]
	if e != nil && (e.dirty != nil || e.trouble != "" || e.lost) {
		return false
	}
	return l.site == nil || !l.site.unread || e != nil && e.said
}

// Trouble says why what the place has under a key is not in force. Empty: there
// is no trouble.
func (l *Ledger) Trouble(key string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.entries[key]; e != nil && (e.said || e.trouble != "") {
		return e.trouble
	}
	return l.unread()
}

// Troubles says which records of a kind cannot be read, and why.
func (l *Ledger) Troubles(prefix string) (trouble string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if trouble := l.unread(); trouble != "" {
		return trouble
	}
	for _, key := range slices.Sorted(maps.Keys(l.entries)) {
		if e := l.entries[key]; e.trouble != "" && strings.HasPrefix(key, prefix) {
			return strings.TrimPrefix(key, prefix) + ": " + e.trouble
		}
	}
	return ""
}

// unread says why the place has not been read. l.mu is held.
func (l *Ledger) unread() string {
	if l.site != nil && l.site.unread {
		return l.site.trouble
	}
	return ""
}

// Wait returns when the place has what is in force under a key, at the latest
// when ctx ends, and reports whether it has.
func (l *Ledger) Wait(ctx context.Context, key string) bool {
	l.mu.Lock()
	e := l.entries[key]
	if e == nil || e.dirty == nil {
		l.mu.Unlock()
		return true
	}
	done := e.dirty.done
	l.mu.Unlock()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// Flush returns when everything is written, when a write hangs, or when ctx
// ends.
func (l *Ledger) Flush(ctx context.Context) {
	tick := time.NewTicker(flushLook)
	defer tick.Stop()
	for l.writes() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// writes reports whether something is being written that is worth a wait.
func (l *Ledger) writes() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.site
	return s != nil && s.writing && s.isReady && (s.since.IsZero() || time.Since(s.since) < hangs)
}
