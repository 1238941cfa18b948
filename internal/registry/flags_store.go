package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"go.uber.org/zap"
)

// flagRecord is a stored flag, and its form in the API.
type flagRecord struct {
	Value string `json:"value"`
}

func flagKey(name string) string { return keyPrefix + "flags/" + name + ".json" }

// put has a flag stored, or with nil deleted.
func (f *flagSet) put(name string, value *string) { f.store.put(flagKey(name), flagBytes(value)) }

// flagBytes is a flag's record; nil without a value.
func flagBytes(value *string) []byte {
	if value == nil {
		return nil
	}
	b, _ := json.Marshal(flagRecord{*value}) // a string: cannot fail
	return b
}

// load reads the stored flags, once. What an operator set before stays.
func (f *flagSet) load() {
	f.mu.Lock()
	done := f.loaded
	f.mu.Unlock()
	if done || !f.store.bound() {
		return
	}
	found, err := f.read()
	f.mu.Lock()
	first := err != nil && f.problem == ""
	f.loaded, f.problem = err == nil, ""
	if err != nil {
		f.problem = "the stored flags cannot be read: " + err.Error()
		f.again()
	}
	var tell []func()
	old := make(map[string]string)
	if m := f.values.Load(); m != nil {
		old = *m
	}
	for name, value := range found {
		if before, had := old[name]; !f.said[name] && (!had || before != value) {
			f.replace(name, &value)
			tell = append(tell, f.watching(name)...)
		}
	}
	for name := range old {
		if _, there := found[name]; !there && !f.said[name] && f.elsewhere && err == nil {
			f.replace(name, nil)
			tell = append(tell, f.watching(name)...)
		}
	}
	f.elsewhere = f.elsewhere && err != nil
	f.mu.Unlock()
	if first {
		Logger().Error("reading the stored flags failed", zap.Error(err))
	}
	for _, changed := range tell {
		changed()
	}
}

// again has the flags loaded once more after a while. f.mu is held.
func (f *flagSet) again() {
	if f.retrying {
		return
	}
	f.retrying = true
	time.AfterFunc(loadRetry, func() {
		f.mu.Lock()
		f.retrying = false
		f.mu.Unlock()
		f.load()
	})
}

// trouble says why the stored flags cannot be read, if so.
func (f *flagSet) trouble() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.problem
}

// read returns what storage has. A record that cannot be read is an error, and
// does not hide the others.
func (f *flagSet) read() (map[string]string, error) {
	keys, err := f.store.list(strings.TrimSuffix(flagKey(""), "/.json"))
	if err != nil {
		return nil, err
	}
	found := make(map[string]string)
	var problem error
	for _, key := range keys {
		name, ok := strings.CutSuffix(path.Base(key), ".json")
		if !ok || ValidFlagName(name) != nil {
			continue
		}
		b, ok, err := f.store.load(key)
		var rec flagRecord
		if err == nil && ok {
			err = decodeFlag(b, &rec)
		}
		if err != nil {
			problem = fmt.Errorf("reading flag %q: %w", name, err)
			continue
		}
		if ok {
			found[name] = rec.Value
		}
	}
	return found, problem
}

// decodeFlag reads a record, and holds it to what may be said.
func decodeFlag(b []byte, rec *flagRecord) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return err
	}
	if len(fields["value"]) == 0 || fields["value"][0] != '"' {
		return errors.New("it has no value")
	}
	if err := json.Unmarshal(b, rec); err != nil {
		return err
	}
	return ValidFlagValue(rec.Value)
}
