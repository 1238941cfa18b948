package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"strings"
)

// Place keeps records for longer than the process lives. Its calls may block
// for ever, whatever their context says.
type Place interface {
	// List returns the keys of all records of a kind.
	List(ctx context.Context, prefix string) ([]string, error)
	// Load returns a record as it is there, or fs.ErrNotExist.
	Load(ctx context.Context, key string) ([]byte, error)
	// Store puts a record in place of the one before.
	Store(ctx context.Context, key string, raw []byte) error
	// Delete removes a record. One that is not there is no error.
	Delete(ctx context.Context, key string) error
	// Same reports whether another value stands for this place, too. It does
	// not block.
	Same(Place) bool
}

// Storage is what a ledger needs of a certmagic.Storage, which Caddy
// configures. A missing key is fs.ErrNotExist.
type Storage interface {
	Store(ctx context.Context, key string, value []byte) error
	Load(ctx context.Context, key string) ([]byte, error)
	Delete(ctx context.Context, key string) error
	List(ctx context.Context, path string, recursive bool) ([]string, error)
}

// onStorage is a place in Caddy's storage.
type onStorage struct{ Storage }

// OnStorage returns the place of all records in a storage: below wsgate/, a
// folder for each kind, a JSON file for each record.
func OnStorage(s Storage) Place { return onStorage{s} }

// StorageKey is where a record lies in Caddy's storage.
func StorageKey(key string) string { return "wsgate/" + key + ".json" }

func (o onStorage) List(ctx context.Context, prefix string) ([]string, error) {
	folder := strings.TrimSuffix(prefix, "/")
	files, err := o.Storage.List(ctx, "wsgate/"+folder, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, file := range files {
		if name, ok := strings.CutSuffix(path.Base(file), ".json"); ok {
			keys = append(keys, folder+"/"+name)
		}
	}
	return keys, nil
}

func (o onStorage) Load(ctx context.Context, key string) ([]byte, error) {
	return o.Storage.Load(ctx, StorageKey(key))
}

func (o onStorage) Store(ctx context.Context, key string, raw []byte) error {
	return o.Storage.Store(ctx, StorageKey(key), raw)
}

func (o onStorage) Delete(ctx context.Context, key string) error {
	err := o.Storage.Delete(ctx, StorageKey(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Same tells storages apart by what they are. Each configuration brings a value
// of its own, most often for the same place. Two values are the same place when
// they are one value, or when they have the same type and say the same of
// themselves: the same configuration (their exported fields as JSON, which is
// how Caddy makes them) and the same name, where they have a String method.
// Where neither says anything, they are two places: to take one for two costs a
// few writes, to take two for one costs a switch.
func (o onStorage) Same(other Place) bool {
	p, ok := other.(onStorage)
	if !ok {
		return false
	}
	a, b := o.Storage, p.Storage
	if reflect.TypeOf(a) != reflect.TypeOf(b) {
		return false
	}
	if reflect.ValueOf(a).Comparable() && a == b {
		return true
	}
	nameA, namedA := name(a)
	nameB, namedB := name(b)
	confA, saysA := configuration(a)
	confB, saysB := configuration(b)
	if named, says := namedA && namedB, saysA && saysB; !named && !says {
		return false
	}
	return nameA == nameB && bytes.Equal(confA, confB)
}

// name is what a storage calls itself.
func name(s Storage) (text string, ok bool) {
	defer func() {
		if recover() != nil { // a nil pointer, for example
			text, ok = "", false
		}
	}()
	n, ok := s.(fmt.Stringer)
	if !ok {
		return "", false
	}
	return n.String(), true
}

// configuration is what a storage was made from, if that says anything.
func configuration(s Storage) (raw []byte, says bool) {
	defer func() {
		if recover() != nil {
			raw, says = nil, false
		}
	}()
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, false
	}
	switch string(raw) {
	case "{}", "null", "[]", `""`:
		return raw, false
	}
	return raw, true
}
