package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wsgate/wsgate/internal/ledger"
)

const (
	maxFlagName  = 128
	maxFlagValue = 1024
)

// UnknownFlagError names a live flag that is not set.
type UnknownFlagError struct{ Name string }

// Error names the flag.
func (e *UnknownFlagError) Error() string { return fmt.Sprintf("flag %q is not set", e.Name) }

// flags are the records of live flags.
var flags = ledger.Kind{
	Prefix:    flagsPrefix,
	Fields:    []string{"value", "unset"},
	ValidName: func(name string) bool { return ValidFlagName(name) == nil },
	Validate: func(_ string, r ledger.Record) (ends time.Time, err error) {
		value, err := decodeFlag(r)
		if err == nil && value == nil {
			ends = r.SaidAt.Add(tombstoneLife)
		}
		return ends, err
	},
}

// flagRecord is a stored flag.
type flagRecord struct {
	Value *string `json:"value,omitempty"`
	// Unset marks a flag that was unset.
	Unset bool `json:"unset,omitempty"`
}

// encodeFlag returns the value of a flag's record. Nil: the flag was unset.
func encodeFlag(value *string) json.RawMessage {
	b, _ := json.Marshal(flagRecord{value, value == nil}) // a string and a bool: cannot fail
	return b
}

// decodeFlag returns the value of a flag from its record, and refuses a value
// that is not allowed. Nil: the flag is not set.
func decodeFlag(r ledger.Record) (value *string, err error) {
	if r.Value == nil {
		return nil, nil
	}
	var rec flagRecord
	switch err := json.Unmarshal(r.Value, &rec); {
	case err != nil:
		return nil, err
	case rec.Unset && rec.Value != nil:
		return nil, errors.New("it is set and unset")
	case rec.Unset:
		return nil, nil
	case rec.Value == nil:
		return nil, errors.New("it has no value")
	}
	return rec.Value, ValidFlagValue(*rec.Value)
}

// flagSet holds the live flags. Reading takes no lock.
type flagSet struct {
	reg *registry

	values atomic.Pointer[map[string]string] // replaced whole, never modified

	mu       sync.Mutex               // guards the fields below
	records  map[string]ledger.Record // of the values in force
	watchers map[string]map[*func()]struct{}
}

func (f *flagSet) init(r *registry) { f.reg, f.records = r, make(map[string]ledger.Record) }

// FlagInfo is a live flag.
type FlagInfo struct {
	Value string
	// Stored reports whether storage has the value.
	Stored bool
	// ETag names this value, in quotes, for If-Match.
	ETag string
}

// Flag returns a live flag. It takes no lock and allocates nothing.
func Flag(name string) (value string, ok bool) {
	if m := reg.flags.values.Load(); m != nil {
		value, ok = (*m)[name]
	}
	return value, ok
}

// WatchFlag calls changed after each change of a live flag, until stop is
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
	etag := f.records[name].Tag()
	f.mu.Unlock()
	if !ok {
		return FlagInfo{}, &UnknownFlagError{name}
	}
	return FlagInfo{Value: value, Stored: f.reg.ledger.Stored(flagsPrefix + name), ETag: etag}, nil
}

// SetFlag sets a live flag. The flag is in force at once. Then SetFlag waits at
// most 5 s for the storage. Errors: [*InvalidError], [ErrPrecondition], with an
// [*UnknownFlagError] if the flag is not set.
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
	f.settle(ctx, name)
	info, err := FlagOf(name)
	if err != nil { // somebody has unset it meanwhile
		return FlagInfo{Value: value}, nil //nolint:nilerr // it was in force
	}
	return info, nil
}

// DeleteFlag unsets a live flag, and reports whether this is stored. A flag that
// is not set in this process may be set in storage, by another process. Errors:
// [*UnknownFlagError], [ErrPrecondition].
func DeleteFlag(ctx context.Context, name, ifMatch string) (stored bool, err error) {
	f := &reg.flags
	if ValidFlagName(name) != nil {
		return false, &UnknownFlagError{name}
	}
	key := flagsPrefix + name
	for {
		f.adopt(name)
		before := f.reg.ledger.Tag(key)
		err = f.change(name, nil, ifMatch)
		var unknown *UnknownFlagError
		switch {
		case err == nil:
			return f.settle(ctx, name), nil
		case !errors.As(err, &unknown) || ifMatch != "":
			return false, err
		}
		switch err := f.reg.ledger.Repeat(key, encodeFlag(nil), before, time.Now()); {
		case errors.Is(err, ledger.ErrConflict):
			continue // another record was read meanwhile
		case err != nil:
			return false, err
		}
		if stored = f.settle(ctx, name); stored && f.reg.ledger.Tag(key) == before {
			return false, unknown // the storage has none either
		}
		return stored, nil
	}
}

// settle returns when the flag's record is stored, or when the wait for that is
// over. Then the flag is what its record says.
func (f *flagSet) settle(ctx context.Context, name string) (stored bool) {
	ctx, cancel := f.reg.storeWait(ctx)
	defer cancel()
	key := flagsPrefix + name
	for {
		over := !f.reg.ledger.AwaitStored(ctx, key)
		f.adopt(name)
		if stored = f.reg.ledger.Stored(key); stored || over || ctx.Err() != nil || f.reg.ledger.Trouble(key) != "" {
			return stored
		}
	}
}

// change sets a flag, or unsets it if value is nil, and calls its watchers.
func (f *flagSet) change(name string, value *string, ifMatch string) error {
	tell, err := f.put(name, value, ifMatch)
	for _, changed := range tell {
		changed()
	}
	return err
}

func (f *flagSet) put(name string, value *string, ifMatch string) (tell []func(), err error) {
	key := flagsPrefix + name
	f.mu.Lock()
	defer f.mu.Unlock()
	old, had := Flag(name)
	troubled := f.reg.ledger.Trouble(key) != ""
	if value == nil && !had && !troubled {
		return nil, &UnknownFlagError{name}
	}
	expected := ""
	if ifMatch != "" {
		if !had { // no ETag names it, and a GET has none
			return nil, fmt.Errorf("%w: %w", ErrPrecondition, &UnknownFlagError{name})
		}
		if expected = f.records[name].Tag(); !matches(ifMatch, expected) {
			return nil, ErrPrecondition
		}
	}
	if value != nil && had && old == *value && !troubled &&
		f.reg.ledger.Repeat(key, encodeFlag(value), f.records[name].Tag(), time.Now()) == nil { // otherwise another record was read
		return nil, nil
	}
	r, err := f.reg.ledger.Put(key, encodeFlag(value), expected, time.Now())
	switch {
	case errors.Is(err, ledger.ErrConflict):
		return nil, ErrPrecondition
	case err != nil:
		return nil, err
	}
	return f.replace(name, value, r), nil
}

// adopt puts the ledger's record of a flag in force, after a reading.
func (f *flagSet) adopt(name string) {
	f.mu.Lock()
	var tell []func()
	if r, _ := f.reg.ledger.Get(flagsPrefix + name); !r.Same(f.records[name]) {
		value, err := decodeFlag(r)
		if err != nil { // the ledger has checked it
			value = nil
		}
		tell = f.replace(name, value, r)
	}
	f.mu.Unlock()
	for _, changed := range tell {
		changed()
	}
}

// replace changes the value of a flag, and returns the watchers to call. Nil:
// the flag is not set. f.mu is held.
func (f *flagSet) replace(name string, value *string, r ledger.Record) (tell []func()) {
	if r.Value == nil {
		delete(f.records, name)
	} else {
		f.records[name] = r
	}
	next := make(map[string]string)
	if m := f.values.Load(); m != nil {
		next = maps.Clone(*m)
	}
	old, had := next[name]
	if value == nil && !had || value != nil && had && old == *value {
		return nil
	}
	if value == nil {
		delete(next, name)
	} else {
		next[name] = *value
	}
	f.values.Store(&next)
	for changed := range f.watchers[name] {
		tell = append(tell, *changed)
	}
	return tell
}

// ValidFlagName refuses a name that no environment variable can have:
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

// ValidFlagValue refuses a value that is longer than 1024 bytes, not UTF-8, or
// has control characters.
func ValidFlagValue(value string) error { return validText("value", value, maxFlagValue) }
