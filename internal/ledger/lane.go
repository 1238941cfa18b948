package ledger

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// callTimeout is the deadline of one call. A place may ignore it.
	callTimeout = 10 * time.Second
	// turnWait is how long a write waits for its turn to read.
	turnWait = time.Second
	// compareWait is how long a write waits for the record that it is about to
	// replace.
	compareWait = 2 * time.Second
)

// errBusy is returned if a read hangs, so that no other one may begin.
var errBusy = errors.New("the place does not answer a read")

// lane lets one read and one write at a time into a place. It outlives the
// binding: if a call hangs, the next binding to the same place waits for it,
// too.
type lane struct {
	place       Place
	read, write chan struct{} // each holds one token
	readBegan   atomic.Int64  // when the read under way began, in ns; zero: there is none
	users       int           // goroutines that read or write here; guarded by Ledger.mu
}

func newLane(p Place) *lane {
	a := &lane{place: p, read: make(chan struct{}, 1), write: make(chan struct{}, 1)}
	a.read <- struct{}{}
	a.write <- struct{}{}
	return a
}

// takeRead notes that the caller has the turn to read, giveRead ends it.
func (a *lane) takeRead() { a.readBegan.Store(time.Now().UnixNano()) }

func (a *lane) giveRead() {
	a.readBegan.Store(0)
	a.read <- struct{}{}
}

// readHangs reports whether the read under way has taken too long.
func (a *lane) readHangs() bool {
	began := a.readBegan.Load()
	return began != 0 && time.Since(time.Unix(0, began)) >= hangsAfter
}

// unused reports whether no goroutine reads or writes here.
func (a *lane) unused() bool { return a.users == 0 && len(a.read) == 1 }

// laneOf returns the lane into a place. l.mu is held.
func (l *Ledger) laneOf(p Place) *lane {
	l.lanes = slices.DeleteFunc(l.lanes, (*lane).unused)
	for _, a := range l.lanes {
		if a.place.Same(p) {
			return a
		}
	}
	a := newLane(p)
	l.lanes = append(l.lanes, a)
	return a
}

// errLeft is returned if the ledger has left the binding before it was its turn.
var errLeft = errors.New("the ledger has left the place")

// readInTurn reads as soon as no other read is under way in the place. It waits
// as long as the ledger has the binding.
func readInTurn[T any](b *binding, p Place, do func(context.Context, Place) (T, error)) (answer T, err error) {
	select {
	case <-b.lane.read:
	case <-b.left:
		return answer, errLeft
	}
	b.lane.takeRead()
	defer b.lane.giveRead()
	return call(p, do)
}

// load reads a record for the writer. It waits one second for its turn, and at
// most so long for the answer, so that the writer does not hang with a read. A
// read that takes longer keeps its turn until it ends.
func (b *binding) load(p Place, key string, most time.Duration) ([]byte, error) {
	wait := time.NewTimer(turnWait)
	defer wait.Stop()
	select {
	case <-b.lane.read:
	case <-wait.C:
		return nil, errBusy
	}
	b.lane.takeRead()
	type answer struct {
		raw []byte
		err error
	}
	done := make(chan answer, 1) // room for an answer that nobody waits for any more
	go func() {
		raw, err := call(p, func(ctx context.Context, p Place) ([]byte, error) { return p.Load(ctx, key) })
		b.lane.giveRead()
		done <- answer{raw, err}
	}()
	limit := time.NewTimer(most)
	defer limit.Stop()
	select {
	case a := <-done:
		return a.raw, a.err
	case <-limit.C:
		return nil, errBusy
	}
}

// call makes one call of a place, with a deadline.
func call[T any](p Place, do func(context.Context, Place) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	return do(ctx, p)
}
