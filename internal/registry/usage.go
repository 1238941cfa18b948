package registry

import (
	"sync"
	"sync/atomic"
)

// usage has a value for each key that tunnels use, as long as they do. Safe for
// concurrent use. The zero value is empty.
type usage[V any] struct {
	mu sync.RWMutex // guards by; keys are used while it is held for reading at least
	by map[string]*used[V]
}

// used is a value that tunnels use.
type used[V any] struct {
	key  string
	open atomic.Int64 // tunnels
	V    V
}

// use counts one more tunnel that uses a key's value.
func (u *usage[V]) use(key string) *used[V] {
	u.mu.RLock()
	one := u.by[key]
	if one != nil {
		one.open.Add(1)
	}
	u.mu.RUnlock()
	if one != nil {
		return one
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	one = u.of(key)
	one.open.Add(1)
	return one
}

// of returns a key's value, a zero one if there is none. u.mu is held.
func (u *usage[V]) of(key string) *used[V] {
	if u.by == nil {
		u.by = make(map[string]*used[V])
	}
	if u.by[key] == nil {
		u.by[key] = &used[V]{key: key}
	}
	return u.by[key]
}

// leave counts one tunnel less. A value that none uses goes, unless keep wants to
// keep it.
func (u *usage[V]) leave(one *used[V], keep func(*V) bool) {
	if one.open.Add(-1) > 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.forget(one, keep)
}

// forget drops a value that no tunnel uses. u.mu is held.
func (u *usage[V]) forget(one *used[V], keep func(*V) bool) {
	if one.open.Load() == 0 && u.by[one.key] == one && (keep == nil || !keep(&one.V)) {
		delete(u.by, one.key)
	}
}

// counts returns how many tunnels use each key.
func (u *usage[V]) counts() map[string]int {
	u.mu.RLock()
	defer u.mu.RUnlock()
	all := make(map[string]int, len(u.by))
	for key, one := range u.by {
		all[key] = int(one.open.Load())
	}
	return all
}
