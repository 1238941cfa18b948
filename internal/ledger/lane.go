package ledger

import (
	"context"
	"errors"
	"slices"
	"time"
)

const (
	// callTimeout bounds one call of a place that heeds its context.
	callTimeout = 10 * time.Second
	// turnWait is how long a write waits for its turn to read.
	turnWait = time.Second
	// compareWait is how long it waits to see what the place has, before it is
	// replaced.
	compareWait = 2 * time.Second
)

// errBusy says that a read hangs, so that none is begun.
var errBusy = errors.New("the place does not answer a read")

// lane lets one read and one write at a time into a place. It outlives the
// site: a call that hangs is in the way of the next site at the same place, too.
type lane struct {
	place       Place
	read, write chan struct{} // each holds one token
	users       int           // goroutines that read or write here. Guarded by Ledger.mu
}

func newLane(p Place) *lane {
	a := &lane{place: p, read: make(chan struct{}, 1), write: make(chan struct{}, 1)}
	a.read <- struct{}{}
	a.write <- struct{}{}
	return a
}

// unused reports whether no call is under way, and nobody is about to make one.
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

// inTurn reads when no other read is under way in the place. It waits as long
// as that takes.
func inTurn[T any](s *site, p Place, do func(context.Context, Place) (T, error)) (T, error) {
	<-s.lane.read
	defer func() { s.lane.read <- struct{}{} }()
	return call(p, do)
}

// load reads a record for the writer, which must not hang with a read: it waits a
// second for its turn, and for the answer until most. A read that takes longer
// keeps its turn until it is done.
func (s *site) load(p Place, key string, most time.Duration) ([]byte, error) {
	wait := time.NewTimer(turnWait)
	defer wait.Stop()
	select {
	case <-s.lane.read:
	case <-wait.C:
		return nil, errBusy
	}
	type answer struct {
		raw []byte
		err error
	}
	done := make(chan answer, 1) // which nobody takes from a read that was given up
	go func() {
		raw, err := call(p, func(ctx context.Context, p Place) ([]byte, error) { return p.Load(ctx, key) })
		s.lane.read <- struct{}{}
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

// call gives one call of a place a limit, for places that heed it.
func call[T any](p Place, do func(context.Context, Place) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	return do(ctx, p)
}
