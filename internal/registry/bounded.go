package registry

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"time"
)

const (
	// readTimeout bounds the reading of a storage, also of one that does not heed
	// its context. While a read hangs no other is begun, so this is all that a
	// storage that hangs can add to a load.
	readTimeout = 4 * time.Second
	// writeTimeout does so for writing.
	writeTimeout = 10 * time.Second
)

// errHangs says that a storage does not answer. Nothing more is asked of it
// until it does.
var errHangs = errors.New("the storage does not answer")

// calls makes calls of one kind to one storage, one at a time. Safe for
// concurrent use.
type calls struct {
	timeout time.Duration

	mu    sync.Mutex
	busy  chan struct{} // closed when the call that is under way returns; nil: none is
	hung  bool          // it has outlasted its time
	rests time.Time     // until then the storage is not asked: it did not answer in time
}

// rest is how long a storage that did not answer in time is left alone: a load
// with a thousand gates waits for it once.
const rest = 2500 * time.Millisecond

// do makes a call, after one that is under way. It returns when the call does,
// and with errHangs when that takes too long; the call is left alone then.
func (c *calls) do(call func(ctx context.Context) error) error {
	limit := time.NewTimer(c.timeout)
	defer limit.Stop()
	for {
		c.mu.Lock()
		if time.Now().Before(c.rests) {
			c.mu.Unlock()
			return errHangs
		}
		before := c.busy
		if before == nil {
			break
		}
		hung := c.hung
		c.mu.Unlock()
		if hung {
			return errHangs
		}
		select {
		case <-before:
		case <-limit.C:
			return errHangs
		}
	}
	busy := make(chan struct{})
	c.busy, c.hung = busy, false
	c.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	result := make(chan error, 1)
	go func() {
		defer cancel()
		err := call(ctx)
		c.mu.Lock()
		c.busy = nil
		if ctx.Err() != nil {
			c.rests = time.Now().Add(rest)
		}
		c.mu.Unlock()
		result <- err
		close(busy)
	}()
	select {
	case err := <-result:
		return err
	case <-limit.C:
	}
	c.mu.Lock()
	c.hung = c.busy == busy
	c.mu.Unlock()
	select {
	case err := <-result: // just in time
		return err
	default:
		return errHangs
	}
}

// location is a storage as the registry uses it: with what is under way there.
type location struct {
	Storage
	reads, writes calls
}

func newLocation(s Storage) *location {
	return &location{Storage: s, reads: calls{timeout: readTimeout}, writes: calls{timeout: writeTimeout}}
}

// same reports whether two storages are one place. Each configuration brings a
// value of its own, most often for the same place. Values are the same place
// when they are one, or of one type and say the same name, or the same
// configuration in their exported fields. Where nothing tells, they are two: then
// what was said here is written once more, and the rest is read again.
func same(a, b Storage) bool {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	if x.Type() != y.Type() {
		return false
	}
	if x.Comparable() && x.Equal(y) {
		return true
	}
	if n, ok := a.(interface{ String() string }); ok {
		return n.String() == b.(interface{ String() string }).String()
	}
	for x.Kind() == reflect.Pointer && !x.IsNil() && !y.IsNil() {
		x, y = x.Elem(), y.Elem()
	}
	if x.Kind() != reflect.Struct {
		return false
	}
	told := false
	for i := range x.NumField() {
		if !x.Type().Field(i).IsExported() {
			continue
		}
		if !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			return false
		}
		told = told || !x.Field(i).IsZero()
	}
	return told
}
