package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Storage is what the registry needs of a certmagic.Storage, which Caddy
// configures. A missing key is fs.ErrNotExist.
type Storage interface {
	Store(ctx context.Context, key string, value []byte) error
	Load(ctx context.Context, key string) ([]byte, error)
	Delete(ctx context.Context, key string) error
	List(ctx context.Context, path string, recursive bool) ([]string, error)
}

const (
	// storeWait is how long a switch waits to hear that it was stored.
	storeWait = 5 * time.Second
	// A write that failed is tried again after retryFirst, then twice as long
	// each time up to retryMost.
	retryFirst = 200 * time.Millisecond
	retryMost  = 15 * time.Second
)

// store writes small records behind the switch: the latest value of each key,
// tried again until it is stored. Its one goroutine lives while something is
// to be written.
type store struct {
	exit chan struct{} // closed when the process exits: nobody waits any longer

	mu      sync.Mutex // guards the fields below
	at      *location  // nil: nowhere
	lent    bool       // by a configuration that is not in force yet
	pending map[string]*write
	running bool
	kick    chan struct{} // wakes a writer that waits before the next try
}

// write is the newest value of a key that is not stored yet.
type write struct {
	value []byte // nil: delete
	turn  int    // counts the values
	done  chan struct{}
}

func newStore() *store {
	return &store{exit: make(chan struct{}), pending: make(map[string]*write), kick: make(chan struct{}, 1)}
}

// bind makes s the place to write to, and reports whether it is another place
// than before.
func (st *store) bind(s Storage) (moved bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if s == nil {
		return false
	}
	if st.at == nil || !same(st.at.Storage, s) {
		moved = st.at != nil
		st.at = newLocation(s)
		if moved && st.running { // its writer may wait for the place of before
			close(st.kick)
			st.running, st.kick = false, make(chan struct{}, 1)
		}
	}
	st.lent = false
	st.start()
	return moved
}

// bindFirst makes s the place to read from when there is none yet.
func (st *store) bindFirst(s Storage) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.at == nil && s != nil {
		st.at, st.lent = newLocation(s), true
	}
}

// unbind takes back what bindFirst alone has made, and reports whether it did.
func (st *store) unbind() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.lent {
		return false
	}
	st.at, st.lent = nil, false
	return true
}

// maxRecord is the largest record that is read. The longest sensible one has
// some 2 KiB.
const maxRecord = 16 << 10

// load reads one record, or what waits to be stored in its place. ok is false
// without one, or without a storage.
func (st *store) load(key string) (value []byte, ok bool, err error) {
	st.mu.Lock()
	at := st.at
	if w := st.pending[key]; w != nil {
		defer st.mu.Unlock()
		return w.value, w.value != nil, nil
	}
	st.mu.Unlock()
	if at == nil {
		return nil, false, nil
	}
	value, err = at.read(key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, false, nil
	case err == nil && len(value) > maxRecord:
		return nil, false, fmt.Errorf("the record has %d bytes, want at most %d", len(value), maxRecord)
	}
	return value, err == nil, err
}

// read reads one record.
func (l *location) read(key string) ([]byte, error) {
	answer := make(chan []byte, 1) // which nobody takes from a call that was given up
	err := l.reads.do(func(ctx context.Context) error {
		value, err := l.Load(ctx, key)
		answer <- value
		return err
	})
	if err != nil {
		return nil, err
	}
	return <-answer, nil
}

// list returns the keys directly below a path.
func (st *store) list(path string) ([]string, error) {
	st.mu.Lock()
	at := st.at
	st.mu.Unlock()
	if at == nil {
		return nil, nil
	}
	answer := make(chan []string, 1)
	err := at.reads.do(func(ctx context.Context) error {
		keys, err := at.List(ctx, path, false)
		answer <- keys
		return err
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return <-answer, nil
}

// bound reports whether there is a storage at all.
func (st *store) bound() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.at != nil
}

// put has a value written (nil: deleted) as soon as can be, in place of any
// older value of that key that still waits.
func (st *store) put(key string, value []byte) {
	st.mu.Lock()
	defer st.mu.Unlock()
	w := st.pending[key]
	if w == nil {
		w = &write{done: make(chan struct{})}
		st.pending[key] = w
	}
	w.value = value
	w.turn++
	st.start()
}

// again has a record written once more, or with nil looked for whether it is
// gone, in case somebody has taken it away.
func (st *store) again(key string, value []byte) {
	st.mu.Lock()
	_, waits := st.pending[key]
	st.mu.Unlock()
	if !waits {
		st.put(key, value)
	}
}

// start makes sure that the writer runs, and looks now. st.mu is held.
func (st *store) start() {
	if st.at == nil || len(st.pending) == 0 {
		return
	}
	if st.running {
		select {
		case st.kick <- struct{}{}:
		default:
		}
		return
	}
	st.running = true
	go st.run(st.at, st.kick)
}

// run writes to one place until nothing is left to write, or there is another
// place, in rounds: a record that cannot be written holds up no other.
func (st *store) run(at *location, kick chan struct{}) {
	wait := retryFirst
	failed := make(map[string]bool) // in this round
	for {
		key, w, value, turn := st.next(at, failed)
		switch {
		case w != nil:
			err := at.carryOut(key, value)
			if err == nil {
				st.wrote(at, key, w, turn)
				wait = retryFirst
				continue
			}
			failed[key] = true
			Logger().Error("storing failed, trying again",
				zap.String("key", key), zap.Duration("after", wait), zap.Error(err))
		case len(failed) == 0:
			return
		default:
			pause := time.NewTimer(wait)
			select {
			case <-pause.C:
			case <-kick:
				pause.Stop()
			}
			wait = min(2*wait, retryMost)
			clear(failed)
		}
	}
}

// next picks a record to write that has not failed in this round. None: the
// round is over; if nothing has failed in it, the writer is done.
func (st *store) next(at *location, failed map[string]bool) (key string, w *write, value []byte, turn int) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.at != at { // another writer has taken over
		clear(failed)
		return "", nil, nil, 0
	}
	for key, w = range st.pending {
		if !failed[key] {
			return key, w, w.value, w.turn
		}
	}
	st.running = len(failed) > 0
	return "", nil, nil, 0
}

// wrote notes that a value is stored, unless a newer one came meanwhile, or the
// place is no longer the one in force.
func (st *store) wrote(at *location, key string, w *write, turn int) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if w.turn == turn && st.at == at {
		delete(st.pending, key)
		close(w.done)
	}
}

// carryOut stores or deletes one record, and looks whether it is there: stored
// is what can be read again.
func (l *location) carryOut(key string, value []byte) error {
	if value == nil {
		err := l.writes.do(func(ctx context.Context) error { return l.Delete(ctx, key) })
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if err := l.writes.do(func(ctx context.Context) error { return l.Store(ctx, key, value) }); err != nil {
		return err
	}
	there, err := l.read(key)
	switch {
	case err != nil:
		return fmt.Errorf("reading what was stored: %w", err)
	case !bytes.Equal(there, value):
		return errors.New("reading what was stored: it is something else")
	}
	return nil
}

// stored reports whether the newest value of a key is in storage.
func (st *store) stored(key string) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.pending[key] == nil
}

// wait returns when the newest value of a key is stored, at the latest after
// 5 s or when ctx ends, and reports whether it is.
func (st *store) wait(ctx context.Context, key string) bool {
	st.mu.Lock()
	w := st.pending[key]
	st.mu.Unlock()
	if w == nil {
		return true
	}
	limit := time.NewTimer(storeWait)
	defer limit.Stop()
	select {
	case <-w.done:
		return true
	case <-limit.C:
	case <-ctx.Done():
	case <-st.exit:
	}
	return false
}

// flush waits at most d for everything to be stored.
func (st *store) flush(d time.Duration) {
	limit := time.NewTimer(d)
	defer limit.Stop()
	st.mu.Lock()
	var waits []*write
	for _, w := range st.pending {
		waits = append(waits, w)
	}
	st.mu.Unlock()
	for _, w := range waits {
		select {
		case <-w.done:
		case <-limit.C:
			return
		}
	}
}
