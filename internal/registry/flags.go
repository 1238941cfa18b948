package registry

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
)

const (
	maxFlagName  = 128
	maxFlagValue = 1024
)

// UnknownFlagError names a live flag that is not set.
type UnknownFlagError struct{ Name string }

// Error names the flag.
func (e *UnknownFlagError) Error() string { return fmt.Sprintf("flag %q is not set", e.Name) }

// flagSet is the live flags: read without a lock, written by operators.
type flagSet struct {
	store *store

	values atomic.Pointer[map[string]string] // replaced whole, never modified

	mu       sync.Mutex // guards the fields below
	versions map[string]uint64
	said     map[string]bool // by an operator, in this process's life; the rest was loaded
	watchers map[string]map[*func()]struct{}
	loaded   bool
	// elsewhere: what was loaded comes from another place than the one in force,
	// and goes when that one has been read.
	elsewhere bool
	retrying  bool
	problem   string // why the stored flags could not be read
}

// FlagInfo is a live flag.
type FlagInfo struct {
	Value string
	// Stored reports whether the value is in storage.
	Stored bool
	// ETag names this value, quoted, for If-Match.
	ETag string
}

// Flag returns a live flag. It takes no lock and allocates nothing.
func Flag(name string) (value string, ok bool) {
	if m := reg.flags.values.Load(); m != nil {
		value, ok = (*m)[name]
	}
	return value, ok
}

// WatchFlag calls changed after every change of a live flag, until stop is
// called. changed must not block.
func WatchFlag(name string, changed func()) (stop func()) {
	f := &reg.flags
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watchers == nil {
		f.watchers = make(map[string]map[*func()]struct{})
	}
	if f.watchers[name] == nil {
		f.watchers[name] = make(map[*func()]struct{})
	}
	key := &changed
	f.watchers[name][key] = struct{}{}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watchers[name], key)
		if len(f.watchers[name]) == 0 {
			delete(f.watchers, name)
		}
	}
}

// Flags returns all live flags.
func Flags() map[string]FlagInfo {
	all := make(map[string]FlagInfo)
	if m := reg.flags.values.Load(); m != nil {
		for name := range *m {
			if info, err := FlagOf(name); err == nil {
				all[name] = info
			}
		}
	}
	return all
}

// FlagOf returns one live flag, or an [*UnknownFlagError].
func FlagOf(name string) (FlagInfo, error) {
	f := &reg.flags
	f.mu.Lock()
	value, ok := Flag(name)
	version := f.versions[name]
	f.mu.Unlock()
	if !ok {
		return FlagInfo{}, &UnknownFlagError{name}
	}
	return FlagInfo{Value: value, Stored: f.store.stored(flagKey(name)), ETag: tag(version)}, nil
}

// SetFlag sets a live flag. It is in force at once; SetFlag then waits at most
// 5 s for the storage. Errors: [*InvalidError], [ErrPrecondition].
func SetFlag(ctx context.Context, name, value, ifMatch string) (FlagInfo, error) {
	if err := ValidFlagName(name); err != nil {
		return FlagInfo{}, err
	}
	if err := ValidFlagValue(value); err != nil {
		return FlagInfo{}, err
	}
	f := &reg.flags
	if err := f.change(name, &value, ifMatch); err != nil {
		return FlagInfo{}, err
	}
	f.store.wait(ctx, flagKey(name))
	info, err := FlagOf(name)
	if err != nil { // somebody deleted it meanwhile
		return FlagInfo{Value: value}, nil //nolint:nilerr // ours was in force
	}
	return info, nil
}

// DeleteFlag removes a live flag, and reports whether storage knows it.
// Errors: [*UnknownFlagError], [ErrPrecondition].
func DeleteFlag(ctx context.Context, name, ifMatch string) (stored bool, err error) {
	f := &reg.flags
	if err := f.change(name, nil, ifMatch); err != nil {
		return false, err
	}
	return f.store.wait(ctx, flagKey(name)), nil
}

// change sets (or with nil deletes) a flag and tells who watches it.
func (f *flagSet) change(name string, value *string, ifMatch string) error {
	f.mu.Lock()
	old, had := Flag(name)
	if value == nil && !had {
		f.mu.Unlock()
		return &UnknownFlagError{name}
	}
	if ifMatch != "" && (!had || !matches(ifMatch, tag(f.versions[name]))) {
		f.mu.Unlock()
		return ErrPrecondition
	}
	if value != nil && had && old == *value {
		f.said[name] = true
		f.mu.Unlock()
		f.store.again(flagKey(name), flagBytes(value)) // somebody may have taken it away
		return nil
	}
	f.replace(name, value)
	f.said[name] = true
	f.put(name, value)
	tell := f.watching(name)
	f.mu.Unlock()
	for _, changed := range tell {
		changed()
	}
	return nil
}

// replace puts a new map in force. f.mu is held.
func (f *flagSet) replace(name string, value *string) {
	next := make(map[string]string)
	if m := f.values.Load(); m != nil {
		next = maps.Clone(*m)
	}
	if value == nil {
		delete(next, name)
	} else {
		next[name] = *value
	}
	f.values.Store(&next)
	f.versions[name] = nextVersion()
}

// move takes the flags along to another place: what was said in this process's
// life is written there, a removal too; of the rest what lies there counts, and
// not what was read elsewhere.
func (f *flagSet) move() {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := make(map[string]string)
	if m := f.values.Load(); m != nil {
		now = *m
	}
	for name := range f.said {
		if value, set := now[name]; set {
			f.put(name, &value)
		} else {
			f.put(name, nil)
		}
	}
	f.loaded, f.elsewhere = false, true
}

// unload forgets what was loaded, and keeps what an operator has said.
func (f *flagSet) unload() {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := make(map[string]string)
	if m := f.values.Load(); m != nil {
		next = maps.Clone(*m)
	}
	loaded := func(name string) bool { return !f.said[name] }
	maps.DeleteFunc(next, func(name, _ string) bool { return loaded(name) })
	maps.DeleteFunc(f.versions, func(name string, _ uint64) bool { return loaded(name) })
	f.values.Store(&next)
	f.loaded, f.problem = false, ""
}

// watching returns who watches a flag. f.mu is held.
func (f *flagSet) watching(name string) (tell []func()) {
	for changed := range f.watchers[name] {
		tell = append(tell, *changed)
	}
	return tell
}

// ValidFlagName refuses a name that no environment variable could have:
// [A-Za-z_][A-Za-z0-9_]*, at most 128 bytes.
func ValidFlagName(name string) error {
	if len(name) == 0 || len(name) > maxFlagName {
		return &InvalidError{"flag name", fmt.Sprintf("%d bytes: want 1 to %d", len(name), maxFlagName)}
	}
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return &InvalidError{"flag name", fmt.Sprintf("%q: want letters, digits and underscores, not beginning with a digit", name)}
		}
	}
	return nil
}

// ValidFlagValue refuses a value that is too long (1024 bytes), not UTF-8, or
// has control characters.
func ValidFlagValue(value string) error { return validText("value", value, maxFlagValue) }
