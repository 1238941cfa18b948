package registry

import (
	"sync"
	"sync/atomic"
)

// usage holds a value for each key that tunnels use, as long as any tunnel uses
// it. Safe for concurrent use. The zero value is empty.
type usage[V any] struct {
	mu sync.RWMutex // guards by; counting a tunnel takes at least the read lock
	by map[string]*used[V]
}

// used is a value that tunnels use.
type used[V any] struct {
	key    string
	open   atomic.Int64 // tunnels, also those that may still be refused
	listed atomic.Int64 // tunnels in the table
	V      V
}

// use returns a key's value, and counts one more tunnel that uses it.
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

// of returns a key's value. If there is none, it makes a zero one. u.mu is
// held.
func (u *usage[V]) of(key string) *used[V] {
	if u.by == nil {
		u.by = make(map[string]*used[V])
	}
	if u.by[key] == nil {
		u.by[key] = &used[V]{key: key}
	}
	return u.by[key]
}

// release counts one tunnel less. It drops a value that no tunnel uses, unless
// keep says otherwise.
func (u *usage[V]) release(one *used[V], keep func(*V) bool) {
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

// counts returns how many tunnels in the table use each key.
func (u *usage[V]) counts() map[string]int {
	u.mu.RLock()
	defer u.mu.RUnlock()
	all := make(map[string]int, len(u.by))
	for key, one := range u.by {
		all[key] = int(one.listed.Load())
	}
	return all
}
