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
	// A write that failed is tried again after writeRetry, then twice as long
	// each time up to writeRetryMost.
	writeRetry     = 200 * time.Millisecond
	writeRetryMost = 15 * time.Second
	// hangs is after how long a write is one that Flush does not wait for.
	hangs = 2 * time.Second
	// unanswered is after how long a write that hangs is reported. A place that
	// heeds its context has answered by then.
	unanswered = callTimeout + time.Second
)

// errGone says that what was written is not there, or something else is.
var errGone = errors.New("what was written is not there")

// errOvertaken says that the place has something as late as what was to be
// written.
var errOvertaken = errors.New("the place has a record that is as late")

// startWriter makes sure that what the place does not have is written. l.mu is
// held.
func (l *Ledger) startWriter() {
	s := l.site
	if s == nil || s.lent {
		return
	}
	if s.writing {
		s.wake()
		return
	}
	for _, e := range l.entries {
		if e.dirty != nil {
			s.writing = true
			s.lane.users++
			go l.write(s)
			return
		}
	}
}

// write writes until nothing is left to write, in rounds: a record that cannot
// be written holds up no other. It begins when the place was read, so that
// what is written has the highest number.
func (l *Ledger) write(s *site) {
	<-s.ready
	wait := writeRetry
	failed := make(map[string]bool)     // in this round
	reported := make(map[string]string) // what was said of a key last
	for {
		key, r, d, p := l.nextDebt(s, failed)
		switch {
		case d != nil:
			err := l.carryOut(s, p, key, r, d)
			if errors.Is(err, errOvertaken) {
				continue // something else is in force, or it has another number
			}
			if err == nil {
				l.paid(s, key, d)
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
			case <-s.kick:
				pause.Stop()
			}
			wait = min(2*wait, writeRetryMost)
			clear(failed)
		}
	}
}

// nextDebt picks what to write that has not failed in this round. None: the
// round is over; if nothing has failed in it, the writer is done.
func (l *Ledger) nextDebt(s *site, failed map[string]bool) (string, Record, *debt, Place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s == l.site {
		for key, e := range l.entries {
			if e.dirty != nil && !failed[key] {
				return key, e.rec, e.dirty, s.place
			}
		}
	} else {
		clear(failed)
	}
	if len(failed) == 0 {
		s.writing = false
		s.lane.users--
	}
	return "", Record{}, nil, nil
}

// paid notes that the place has what was written, unless something newer came
// meanwhile.
func (l *Ledger) paid(s *site, key string, d *debt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[key]
	if e == nil || s != l.site || e.dirty != d {
		return
	}
	close(d.done)
	e.dirty, e.lost = nil, false
	if e.rec.Value == nil && e.trouble == "" {
		delete(l.entries, key)
	}
}

// carryOut pays one debt: afterwards the place has what is in force.
func (l *Ledger) carryOut(s *site, p Place, key string, r Record, d *debt) error {
	l.writeBegins(s, time.Now())
	defer l.writeBegins(s, time.Time{})
	silent := time.AfterFunc(unanswered, func() {
		l.reports.Unwritten(key, 0, fmt.Errorf("storing the record: no answer after %s", unanswered))
	})
	defer silent.Stop()
	<-s.lane.write
	defer func() { s.lane.write <- struct{}{} }()
	if r.Value == nil {
		return l.remove(s, p, key, d)
	}
	raw, err := r.encode()
	if err != nil {
		return err
	}
	if done, err := l.compare(s, p, key, r, raw, d); done || err != nil {
		return err
	}
	_, err = call(p, func(ctx context.Context, p Place) (struct{}, error) { return struct{}{}, p.Store(ctx, key, raw) })
	if err != nil {
		return fmt.Errorf("storing the record: %w", err)
	}
	return l.look(s, p, key, raw)
}

// compare looks what the place has, before it is replaced. done reports that it is
// the record already. A record of another process that is as late by its number is
// outdone by a higher one, unless it was said later, too: then it counts.
func (l *Ledger) compare(s *site, p Place, key string, r Record, raw []byte, d *debt) (done bool, err error) {
	there, err := s.load(p, key, compareWait)
	switch {
	case err != nil:
		return false, nil //nolint:nilerr // it may be gone, or reads hang: it is written, and read back
	case bytes.Equal(there, raw):
		return true, nil
	}
	other, err := decode(key, there)
	if other.Seq < r.Seq || err == nil && other.numberless() {
		return false, nil
	}
	l.overtake(s, key, d, other, there, err == nil && other.Later(r) && other.SaidAt.After(r.SaidAt))
	return false, errOvertaken
}

// overtake puts another process's record in force, if it counts, or gives ours a
// higher number.
func (l *Ledger) overtake(s *site, key string, d *debt, other Record, raw []byte, counts bool) {
	l.mu.Lock()
	e := l.entries[key]
	if e == nil || s != l.site || e.dirty != d {
		l.mu.Unlock()
		return
	}
	if !counts {
		e.seen = max(e.seen, other.Seq)
		e.rec.Seq = e.seen + 1
		e.owe(debt{})
		l.mu.Unlock()
		l.tell(key)
		return
	}
	e.dismiss()
	e.said = false
	l.mu.Unlock()
	l.found(s, l.kind(key), key, raw, nil)
}

// writeBegins notes since when a write is under way. Zero: none is.
func (l *Ledger) writeBegins(s *site, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.since = at
}

// look reads a record back: nil when the place has what is in force.
func (l *Ledger) look(s *site, p Place, key string, want []byte) error {
	raw, err := s.load(p, key, callTimeout)
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

// remove deletes a record, if nobody has said anything later there.
func (l *Ledger) remove(s *site, p Place, key string, d *debt) error {
	raw, err := s.load(p, key, callTimeout)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking whether the record is still the one that has ended: %w", err)
	}
	if !d.force {
		now, err := decode(key, raw)
		if ours := err == nil && !now.Later(d.gone); !ours {
			return nil // somebody else's, which the next reading takes
		}
	}
	if _, err := call(p, func(ctx context.Context, p Place) (struct{}, error) { return struct{}{}, p.Delete(ctx, key) }); err != nil {
		return fmt.Errorf("removing the record: %w", err)
	}
	return nil
}
