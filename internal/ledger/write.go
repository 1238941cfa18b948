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

// errResolved is returned if the place had a record with the same seq, or a
// higher one. The conflict is resolved, and the writer starts again.
var errResolved = errors.New("the place has a record with the same seq or a higher one")

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
// reading, so that it knows the highest seq.
func (l *Ledger) write(b *binding) {
	<-b.ready
	wait := writeRetry
	failed := make(map[string]bool)     // in this round
	reported := make(map[string]string) // the last error reported of each key
	for {
		key, r, w, p := l.nextWrite(b, failed)
		switch {
		case w != nil:
			err := l.writeOne(b, p, key, r, w)
			if errors.Is(err, errResolved) {
				continue // another record is in force, or ours has another seq
			}
			if err == nil {
				l.noteWritten(b, key, w)
				delete(reported, key)
				wait = writeRetry
				continue
			}
			failed[key] = true
			if reported[key] != err.Error() {
				reported[key] = err.Error()
				l.reports.Unwritten(key, wait, err)
			}
		case len(failed) == 0:
			return
		default:
			pause := time.NewTimer(wait)
			select {
			case <-pause.C:
			case <-b.wakeup:
				pause.Stop()
			}
			wait = min(2*wait, writeRetryMost)
			clear(failed)
		}
	}
}

// nextWrite returns a write that has not failed in this round. If there is
// none, the round is over. If none has failed in it, the writer ends.
func (l *Ledger) nextWrite(b *binding, failed map[string]bool) (string, Record, *queuedWrite, Place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b == l.bound {
		for key, e := range l.entries {
			if e.queued != nil && !failed[key] {
				return key, e.rec, e.queued, b.place
			}
		}
	} else {
		clear(failed)
	}
	if len(failed) == 0 {
		b.writing = false
		b.lane.users--
	}
	return "", Record{}, nil, nil
}

// noteWritten notes that the place has what was written, unless a newer write
// is queued.
func (l *Ledger) noteWritten(b *binding, key string, w *queuedWrite) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[key]
	if e == nil || b != l.bound || e.queued != w {
		return
	}
	close(w.done)
	e.queued, e.lost = nil, false
	if e.rec.Value == nil && e.trouble == "" {
		delete(l.entries, key)
	}
}

// writeOne carries out one write. Then the place has what is in force.
func (l *Ledger) writeOne(b *binding, p Place, key string, r Record, w *queuedWrite) error {
	l.setWriteBegan(b, time.Now())
	defer l.setWriteBegan(b, time.Time{})
	silent := time.AfterFunc(unanswered, func() {
		l.reports.Unwritten(key, 0, fmt.Errorf("storing the record: no answer after %s", unanswered))
	})
	defer silent.Stop()
	<-b.lane.write
	defer func() { b.lane.write <- struct{}{} }()
	if r.Value == nil {
		return l.remove(b, p, key, w)
	}
	raw, err := r.encode()
	if err != nil {
		return err
	}
	if done, err := l.compare(b, p, key, r, raw, w); done || err != nil {
		return err
	}
	_, err = call(p, func(ctx context.Context, p Place) (struct{}, error) { return struct{}{}, p.Store(ctx, key, raw) })
	if err != nil {
		return fmt.Errorf("storing the record: %w", err)
	}
	return l.readBack(b, p, key, raw)
}

// compare compares the record with the one that it is about to replace. done
// reports that the place has it already. If another process has written a
// record with the same seq or a higher one, that record counts if it was also
// put later. Otherwise ours gets a higher seq.
func (l *Ledger) compare(b *binding, p Place, key string, r Record, raw []byte, w *queuedWrite) (done bool, err error) {
	there, err := b.load(p, key, compareWait)
	switch {
	case err != nil:
		return false, nil //nolint:nilerr // it may be gone, or reads hang: write it, then read it back
	case bytes.Equal(there, raw):
		return true, nil
	}
	other, err := decode(key, there)
	if other.Seq < r.Seq || err == nil && other.unnumbered() {
		return false, nil
	}
	l.resolve(b, key, w, other, there, err == nil && other.Later(r) && other.SaidAt.After(r.SaidAt))
	return false, errResolved
}

// resolve resolves a conflict with the record of another process: it puts that
// record in force if it counts, or gives ours a higher seq.
func (l *Ledger) resolve(b *binding, key string, w *queuedWrite, other Record, raw []byte, counts bool) {
	l.mu.Lock()
	e := l.entries[key]
	if e == nil || b != l.bound || e.queued != w {
		l.mu.Unlock()
		return
	}
	if !counts {
		e.seenSeq = max(e.seenSeq, other.Seq)
		e.rec.Seq = e.seenSeq + 1
		e.queueWrite(queuedWrite{})
		l.mu.Unlock()
		l.notify(key)
		return
	}
	e.dropWrite()
	e.putHere = false
	l.mu.Unlock()
	l.handleRead(b, l.kind(key), key, raw, nil)
}

// setWriteBegan notes when the write under way began. Zero: there is none.
func (l *Ledger) setWriteBegan(b *binding, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.writeBegan = at
}

// readBack reads a record after it was written. It returns nil if the place has
// it.
func (l *Ledger) readBack(b *binding, p Place, key string, want []byte) error {
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

// remove deletes a record, unless the place has a later one.
func (l *Ledger) remove(b *binding, p Place, key string, w *queuedWrite) error {
	raw, err := b.load(p, key, callTimeout)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("checking whether the record is still the one that has ended: %w", err)
	}
	if !w.force {
		now, err := decode(key, raw)
		if ours := err == nil && !now.Later(w.gone); !ours {
			return nil // it belongs to another process, and the next reading takes it
		}
	}
	if _, err := call(p, func(ctx context.Context, p Place) (struct{}, error) { return struct{}{}, p.Delete(ctx, key) }); err != nil {
		return fmt.Errorf("removing the record: %w", err)
	}
	return nil
}
