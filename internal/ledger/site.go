package ledger

import (
	"bytes"
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
	// A write that failed is tried again after writeRetry, then twice as long
	// each time up to writeRetryMost.
	writeRetry     = 200 * time.Millisecond
	writeRetryMost = 15 * time.Second
	// hangs is after how long a write is one that Flush does not wait for.
	hangs = 2 * time.Second
	// turnWait is how long a write waits for its turn to read.
	turnWait = time.Second
)

var (
	errBusy = errors.New("the place is being read")
	errGone = errors.New("what was written is not there")
)

// lane lets one read and one write at a time into a place. It outlives the
// site: a call that hangs is in the way of the next site at the same place, too.
type lane struct {
	place       Place
	read, write chan struct{} // each holds one token
}

func newLane(p Place) *lane {
	a := &lane{place: p, read: make(chan struct{}, 1), write: make(chan struct{}, 1)}
	a.read <- struct{}{}
	a.write <- struct{}{}
	return a
}

// idle reports whether no call is under way.
func (a *lane) idle() bool { return len(a.read) == 1 && len(a.write) == 1 }

// laneOf returns the lane into a place. l.mu is held.
func (l *Ledger) laneOf(p Place) *lane {
	l.lanes = slices.DeleteFunc(l.lanes, func(a *lane) bool { return a.idle() && (l.site == nil || l.site.lane != a) })
	for _, a := range l.lanes {
		if a.place.Same(p) {
			return a
		}
	}
	a := newLane(p)
	l.lanes = append(l.lanes, a)
	return a
}

// site is a place in use. Its fields are guarded by Ledger.mu, unless they are
// set once.
type site struct {
	lane  *lane         // set once
	ready chan struct{} // set once; closed when the place was read, or could not be, or is late
	kick  chan struct{} // set once; wakes a writer that waits before the next try

	place   Place // the newest value that stands for it
	lent    bool  // nothing is written yet: it may be taken back
	unread  bool  // it was never read through
	isReady bool

	reading bool          // a reading is under way
	again   bool          // and another one is wanted
	retry   *time.Timer   // nil: none is due
	pause   time.Duration // before the next retry
	trouble string        // why it cannot be read

	writing bool      // the writer lives
	since   time.Time // when the write under way began; zero: none is
}

func (l *Ledger) newSite(p Place, lent bool) *site {
	return &site{
		lane: l.laneOf(p), place: p, lent: lent, unread: true,
		ready: make(chan struct{}), kick: make(chan struct{}, 1), pause: readRetry,
	}
}

// Lend has a place read when there is none yet, and nothing written: the
// configuration that brings it may fail.
func (l *Ledger) Lend(p Place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.site == nil && p != nil {
		l.site = l.newSite(p, true)
		l.startReader(l.site)
	}
}

// Return takes back what Lend alone has made, and forgets what was read.
func (l *Ledger) Return() {
	l.mu.Lock()
	s := l.site
	if s == nil || !s.lent {
		l.mu.Unlock()
		return
	}
	l.site = nil
	s.stop()
	var gone []string
	for key, e := range l.entries {
		if !e.said {
			delete(l.entries, key)
			gone = append(gone, key)
		}
	}
	l.mu.Unlock()
	l.tell(gone...)
}

// Bind makes p the place of all records, and has it read. On a move to another
// place, what was said in this process goes along; of the rest counts what is
// there. Nil: the place stays.
func (l *Ledger) Bind(p Place) {
	if p == nil {
		return
	}
	l.mu.Lock()
	var again []string
	switch before := l.site; {
	case before == nil:
		l.site = l.newSite(p, false)
		l.startReader(l.site)
	case before.place.Same(p):
		before.place = p
		if !before.lent { // else it is being read, or was just now
			l.startReader(before)
		}
		before.lent = false
	default:
		before.stop()
		l.site = l.newSite(p, false)
		again = l.move()
		l.startReader(l.site)
	}
	l.startWriter()
	l.mu.Unlock()
	l.tell(again...)
}

// move takes along what was said in this process, with a higher number, and
// returns its keys. What was read stays in force until the new place was read.
// l.mu is held.
func (l *Ledger) move() (again []string) {
	for key, e := range l.entries {
		switch {
		case !e.said:
			e.stale, e.trouble, e.dirty = true, "", settled(e.dirty)
		case e.rec.Value != nil:
			e.rec.Seq++
			e.owe(debt{})
			again = append(again, key)
		default:
			e.owe(debt{force: true})
		}
	}
	return again
}

// settled tells those who wait for a debt that it is of no concern any more.
func settled(d *debt) *debt {
	if d != nil {
		close(d.done)
	}
	return nil
}

// stop ends what a site has begun, except for calls that hang. l.mu is held.
func (s *site) stop() {
	if s.retry != nil {
		s.retry.Stop()
	}
	s.setReady()
	s.wake()
}

// setReady lets go who waits for the reading. l.mu is held.
func (s *site) setReady() {
	if !s.isReady {
		s.isReady = true
		close(s.ready)
	}
}

func (s *site) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// AwaitRead returns when the place was read or could not be, at the latest 5 s
// after the place came: all who wait share these.
func (l *Ledger) AwaitRead() {
	l.mu.Lock()
	s := l.site
	l.mu.Unlock()
	if s != nil {
		<-s.ready
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
	go l.read(s)
}

// read goes through all records of a place. Each counts as soon as it is read.
func (l *Ledger) read(s *site) {
	for again := true; again; {
		late := time.AfterFunc(ReadWait, func() { l.late(s) })
		<-s.lane.read
		err := l.readThrough(s)
		s.lane.read <- struct{}{}
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
		keys, err := call(p, func(ctx context.Context, p Place) ([]string, error) { return p.List(ctx, k.Prefix) })
		if err != nil {
			return fmt.Errorf("listing %s: %w", k.Prefix, err)
		}
		for _, key := range l.worthReading(k, keys) {
			if p, ok = l.current(s); !ok {
				return nil
			}
			raw, err := call(p, func(ctx context.Context, p Place) ([]byte, error) { return p.Load(ctx, key) })
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

// call gives one call of a place a limit, for places that heed it.
func call[T any](p Place, do func(context.Context, Place) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	return do(ctx, p)
}

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
		if e.rec.Value != nil && e.rec.Seq <= e.seen {
			e.rec.Seq = e.seen + 1
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
	same := there && r.Tag() == e.rec.Tag() && r.SaidAt.Equal(e.rec.SaidAt)
	switch {
	case same && !e.stale:
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
	default:
		return false
	}
	e.dirty, e.said = settled(e.dirty), false
	if !ends.IsZero() && !ends.After(time.Now()) {
		e.rec = r
		l.retire(e)
		return there
	}
	l.take(e, r, ends)
	return !same
}

// missing notes what a place that was read through does not have. At its first
// reading there is no such record then, unless it was said in this process.
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
	l.mu.Unlock()
	l.tell(gone...)
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
		s.reading = false
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
	s.reading = false
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
	failed := make(map[string]bool) // in this round
	for {
		key, r, d, p := l.nextDebt(s, failed)
		switch {
		case d != nil:
			err := l.carryOut(s, p, key, r, *d)
			if err == nil {
				l.paid(s, key, d.turn)
				wait = writeRetry
				continue
			}
			failed[key] = true
			l.reports.Unwritten(key, wait, err)
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
				d := *e.dirty
				return key, e.rec, &d, s.place
			}
		}
	} else {
		clear(failed)
	}
	s.writing = len(failed) > 0
	return "", Record{}, nil, nil
}

// paid notes that the place has what was written, unless something newer came
// meanwhile.
func (l *Ledger) paid(s *site, key string, turn uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[key]
	if e == nil || s != l.site || e.dirty == nil || e.dirty.turn != turn {
		return
	}
	close(e.dirty.done)
	e.dirty = nil
	if e.rec.Value == nil && e.trouble == "" {
		delete(l.entries, key)
	}
}

// carryOut pays one debt: afterwards the place has what is in force.
func (l *Ledger) carryOut(s *site, p Place, key string, r Record, d debt) error {
	l.writeBegins(s, time.Now())
	defer l.writeBegins(s, time.Time{})
	silent := time.AfterFunc(callTimeout+time.Second, func() {
		l.reports.Unwritten(key, 0, fmt.Errorf("storing the record: no answer after %s", callTimeout+time.Second))
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
	if d.check && l.look(s, p, key, raw) == nil {
		return nil
	}
	_, err = call(p, func(ctx context.Context, p Place) (struct{}, error) { return struct{}{}, p.Store(ctx, key, raw) })
	if err != nil {
		return fmt.Errorf("storing the record: %w", err)
	}
	if err := l.look(s, p, key, raw); !errors.Is(err, errBusy) {
		return err
	}
	return nil // the place says that it has it
}

// writeBegins notes since when a write is under way. Zero: none is.
func (l *Ledger) writeBegins(s *site, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.since = at
}

// readTurn waits for its turn to read: while a reading is under way, none is
// begun.
func (s *site) readTurn() (giveBack func(), err error) {
	wait := time.NewTimer(turnWait)
	defer wait.Stop()
	select {
	case <-s.lane.read:
		return func() { s.lane.read <- struct{}{} }, nil
	case <-wait.C:
		return nil, errBusy
	}
}

// look reads a record back: nil when the place has what is in force.
func (l *Ledger) look(s *site, p Place, key string, want []byte) error {
	giveBack, err := s.readTurn()
	if err != nil {
		return err
	}
	defer giveBack()
	raw, err := call(p, func(ctx context.Context, p Place) ([]byte, error) { return p.Load(ctx, key) })
	switch {
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
func (l *Ledger) remove(s *site, p Place, key string, d debt) error {
	giveBack, err := s.readTurn()
	if err != nil {
		return err
	}
	defer giveBack()
	raw, err := call(p, func(ctx context.Context, p Place) ([]byte, error) { return p.Load(ctx, key) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking whether the record is still the one that has ended: %w", err)
	}
	if !d.force {
		if now, err := decode(key, raw); err != nil || now.Later(d.gone) {
			return nil // somebody else's, which the next reading takes
		}
	}
	if _, err := call(p, func(ctx context.Context, p Place) (struct{}, error) { return struct{}{}, p.Delete(ctx, key) }); err != nil {
		return fmt.Errorf("removing the record: %w", err)
	}
	return nil
}
