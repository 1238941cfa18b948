package registry

import (
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
	// storeTimeout bounds one call of the storage that heeds its context.
	storeTimeout = 10 * time.Second
	// A write that failed is tried again after retryFirst, then twice as long
	// each time up to retryMost.
	retryFirst = 200 * time.Millisecond
	retryMost  = 15 * time.Second
)

// store writes small records behind the switch: the latest value of each key,
// tried again until it is stored. Its one goroutine lives while something is
// to be written.
type store struct {
	mu      sync.Mutex // guards the fields below
	storage Storage
	lent    bool // by a configuration that is not in force yet
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
	return &store{pending: make(map[string]*write), kick: make(chan struct{}, 1)}
}

// bind makes s the place to write to, and reports whether it is another place
// than before.
func (st *store) bind(s Storage) (moved bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if s == nil {
		return false
	}
	moved = st.storage != nil && place(st.storage) != place(s)
	st.storage, st.lent = s, false
	st.start()
	return moved
}

// bindFirst makes s the place to read from when there is none yet.
func (st *store) bindFirst(s Storage) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.storage == nil && s != nil {
		st.storage, st.lent = s, true
	}
}

// unbind takes back what bindFirst alone has made, and reports whether it did.
func (st *store) unbind() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.lent {
		return false
	}
	st.storage, st.lent = nil, false
	return true
}

// place tells two storages apart: each configuration brings its own value,
// most often for the same place.
func place(s Storage) string {
	if n, ok := s.(fmt.Stringer); ok {
		return n.String()
	}
	return fmt.Sprintf("%T", s)
}

// load reads one record, or what waits to be stored in its place. ok is false
// without one, or without a storage.
func (st *store) load(key string) (value []byte, ok bool, err error) {
	st.mu.Lock()
	s := st.storage
	if w := st.pending[key]; w != nil {
		defer st.mu.Unlock()
		return w.value, w.value != nil, nil
	}
	st.mu.Unlock()
	if s == nil {
		return nil, false, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	value, err = s.Load(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	return value, err == nil, err
}

// list returns the keys directly below a path.
func (st *store) list(path string) ([]string, error) {
	st.mu.Lock()
	s := st.storage
	st.mu.Unlock()
	if s == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	keys, err := s.List(ctx, path, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return keys, err
}

// bound reports whether there is a storage at all.
func (st *store) bound() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.storage != nil
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

// start makes sure that the writer runs, and looks now. st.mu is held.
func (st *store) start() {
	if st.storage == nil || len(st.pending) == 0 {
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
	go st.run()
}

// run writes until nothing is left to write, in rounds: a record that cannot
// be written holds up no other.
func (st *store) run() {
	wait := retryFirst
	failed := make(map[string]bool) // in this round
	for {
		key, w, value, turn, s := st.next(failed)
		switch {
		case w != nil:
			err := carryOut(s, key, value)
			if err == nil {
				st.wrote(key, w, turn)
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
			case <-st.kick:
				pause.Stop()
			}
			wait = min(2*wait, retryMost)
			clear(failed)
		}
	}
}

// next picks a record to write that has not failed in this round. None: the
// round is over; if nothing has failed in it, the writer is done.
func (st *store) next(failed map[string]bool) (key string, w *write, value []byte, turn int, s Storage) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for key, w = range st.pending {
		if !failed[key] {
			return key, w, w.value, w.turn, st.storage
		}
	}
	st.running = len(failed) > 0
	return "", nil, nil, 0, nil
}

// wrote notes that a value is stored, unless a newer one came meanwhile.
func (st *store) wrote(key string, w *write, turn int) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if w.turn == turn {
		delete(st.pending, key)
		close(w.done)
	}
}

// carryOut stores or deletes one record.
func carryOut(s Storage, key string, value []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	if value != nil {
		return s.Store(ctx, key, value)
	}
	err := s.Delete(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
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
	}
	return false
}

// flush waits at most d for everything to be stored.
func (st *store) flush(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	st.mu.Lock()
	keys := make([]string, 0, len(st.pending))
	for key := range st.pending {
		keys = append(keys, key)
	}
	st.mu.Unlock()
	for _, key := range keys {
		st.wait(ctx, key)
	}
}
