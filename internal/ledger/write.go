package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

const (
	// A write that failed is tried again after writeRetry. The pause then
	// doubles up to writeRetryMost.
	writeRetry     = 200 * time.Millisecond
	writeRetryMost = 15 * time.Second
	// hangsAfter is after how long a write hangs: Flush does not wait for it
	// any more.
	hangsAfter = 2 * time.Second
	// unanswered is after how long a write that hangs is reported. A place that
	// obeys its deadline has answered by then.
	unanswered = callTimeout + time.Second
)

// errGone is returned if a record is not in its place right after it was
// written.
var errGone = errors.New("the record is not there after it was written")

// errChanged is returned if another write is queued now, or the ledger has left
// the place.
var errChanged = errors.New("another write is queued")

// startWriter starts the writer if there is anything to write, or ends its
// pause. l.mu is held.
func (l *Ledger) startWriter() {
	b := l.bound
	if b == nil || b.readOnly {
		return
	}
	if b.writing {
		b.wake()
		return
	}
	for _, e := range l.entries {
		if e.queued != nil {
			b.writing = true
			b.lane.users++
			go l.write(b)
			return
		}
	}
}

// write writes until nothing is queued. It works in rounds, so that a record
// that cannot be written does not delay the others. It begins after the
// reading, so that it knows the highest seq. If a read hangs, so that it cannot
// look at the place, the round is over.
func (l *Ledger) write(b *binding) {
	<-b.ready
	wait := writeRetry
	failed := make(map[string]bool)     // in this round
	reported := make(map[string]string) // the last error reported of each key
	var hangs error
	for {
		key, w, p := l.nextWrite(b, failed)
		switch {
		case w != nil:
			err := hangs
			if err == nil {
				err = l.writeOne(b, p, key, w)
			}
			if errors.Is(err, errChanged) {
				continue
			}
			if err == nil {
				delete(reported, key)
				wait = writeRetry
				continue
			}
			if errors.Is(err, errBusy) {
				hangs = err
			}
			l.noteFailed(w)
			failed[key] = true
			if reported[key] != err.Error() {
				reported[key] = err.Error()
				l.reports.Unwritten(key, wait, err)
			}
		case len(failed) == 0:
			return
		default:
			l.pauseWriter(b, wait)
			wait = min(2*wait, writeRetryMost)
			clear(failed)
			hangs = nil
		}
	}
}

// pauseWriter waits before the next round.
func (l *Ledger) pauseWriter(b *binding, wait time.Duration) {
	l.setPausing(b, true)
	defer l.setPausing(b, false)
	pause := time.NewTimer(wait)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-b.wakeup:
	case <-b.left:
	}
}

// setPausing notes that the writer waits for its next round, or begins it.
func (l *Ledger) setPausing(b *binding, pausing bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b.pausing = pausing; pausing {
		b.rounds++
	}
}

// nextWrite returns a write that has not failed in this round. If there is
// none, the round is over. If none has failed in it, the writer ends.
func (l *Ledger) nextWrite(b *binding, failed map[string]bool) (string, *queuedWrite, Place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b == l.bound {
		for key, e := range l.entries {
			if e.queued != nil && !failed[key] {
				return key, e.queued, b.place
			}
		}
	} else {
		clear(failed)
	}
	if len(failed) == 0 {
		b.writing = false
		b.lane.users--
	}
	return "", nil, nil
}

// writeOne carries out one write: it looks at what the place has, decides, writes
// and reads back. Then the place has what is in force.
func (l *Ledger) writeOne(b *binding, p Place, key string, w *queuedWrite) error {
	l.setWriteBegan(b, time.Now())
	defer l.setWriteBegan(b, time.Time{})
	silent := time.AfterFunc(unanswered, func() {
		l.reports.Unwritten(key, 0, fmt.Errorf("storing the record: no answer after %s", unanswered))
	})
	defer silent.Stop()
	select {
	case <-b.lane.write:
	case <-b.left:
		return errChanged
	}
	defer func() { b.lane.write <- struct{}{} }()
	var f found
	there, err := b.load(p, key, compareWait)
	switch {
	case errors.Is(err, errBusy):
		return err
	case err == nil:
		f = l.decoded(key, there)
	case !errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("reading the record that is there: %w", err)
	}
	do, r, ends, err := l.decide(b, key, w, f, err)
	switch {
	case err != nil:
		return err
	case do == stepChange:
		return errChanged
	case do == stepTake:
		l.took(b, key, w, f)
		return nil
	case do == stepDelete:
		err = l.remove(p, key)
	case do == stepStore:
		err = l.store(b, p, key, r)
	}
	if err == nil {
		l.noteWritten(b, key, w, r, ends)
	}
	return err
}

// store writes a record, and reads it back.
func (l *Ledger) store(b *binding, p Place, key string, r Record) error {
	raw, err := r.encode()
	if err != nil {
		return err
	}
	_, err = call(p, func(ctx context.Context, p Place) (struct{}, error) { return struct{}{}, p.Store(ctx, key, raw) })
	if err != nil {
		return fmt.Errorf("storing the record: %w", err)
	}
	return readBack(b, p, key, raw)
}

// remove deletes a record.
func (l *Ledger) remove(p Place, key string) error {
	if _, err := call(p, func(ctx context.Context, p Place) (struct{}, error) { return struct{}{}, p.Delete(ctx, key) }); err != nil {
		return fmt.Errorf("removing the record: %w", err)
	}
	return nil
}

// setWriteBegan notes when the write under way began. Zero: there is none.
func (l *Ledger) setWriteBegan(b *binding, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.writeBegan = at
}

// readBack reads a record after it was written. It returns nil if the place has
// it.
func readBack(b *binding, p Place, key string, want []byte) error {
	raw, err := b.load(p, key, callTimeout)
	switch {
	case errors.Is(err, errBusy):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return errGone
	case err != nil:
		return fmt.Errorf("reading the record back: %w", err)
	case !bytes.Equal(raw, want):
		return errGone
	}
	return nil
}
