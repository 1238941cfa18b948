package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"reflect"
	"strings"
)

// Place stores records for longer than the process lives. A call may block for
// ever, even if its context ends.
type Place interface {
	// List returns the keys of all records of a kind.
	List(ctx context.Context, prefix string) ([]string, error)
	// Load returns the bytes of a record, or fs.ErrNotExist.
	Load(ctx context.Context, key string) ([]byte, error)
	// Store replaces a record.
	Store(ctx context.Context, key string, raw []byte) error
	// Delete removes a record. It is no error if there is none.
	Delete(ctx context.Context, key string) error
	// Same reports whether another value stands for the same place. It does not
	// block.
	Same(Place) bool
}

// Storage is the part of certmagic.Storage, Caddy's storage, that a ledger
// needs. A missing key is fs.ErrNotExist.
type Storage interface {
	Store(ctx context.Context, key string, value []byte) error
	Load(ctx context.Context, key string) ([]byte, error)
	Delete(ctx context.Context, key string) error
	List(ctx context.Context, path string, recursive bool) ([]string, error)
}

// onStorage is a place in Caddy's storage.
type onStorage struct{ Storage }

// OnStorage returns a place in a storage: the folder wsgate/, with a folder for
// each kind, and a JSON file for each record.
func OnStorage(s Storage) Place { return onStorage{s} }

// StorageKey returns the key of a record in Caddy's storage.
func StorageKey(key string) string { return "wsgate/" + key + ".json" }

// inFiles is a storage that keeps each key in a file, as Caddy's default does.
type inFiles interface {
	// Filename returns the file of a key, or the folder of a prefix.
	Filename(key string) string
}

// checkFolder refuses what Caddy's file storage lists as an empty folder though
// it is none. Nothing at all is an empty folder.
func (o onStorage) checkFolder(folder string) error {
	files, ok := o.Storage.(inFiles)
	if !ok {
		return nil
	}
	info, err := os.Lstat(files.Filename(folder))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder", files.Filename(folder))
	}
	return nil
}

// checkFile refuses what must not be read whole: a file that is too long, or
// that is a pipe or a device. Only where the storage keeps its keys in files:
// elsewhere the size would cost a round trip for each read.
func (o onStorage) checkFile(key string) error {
	files, ok := o.Storage.(inFiles)
	if !ok {
		return nil
	}
	info, err := os.Stat(files.Filename(key))
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("not a regular file: %s", info.Mode())
	case info.Size() > maxRecord:
		return fmt.Errorf("%d bytes, want at most %d", info.Size(), maxRecord)
	}
	return nil
}

func (o onStorage) List(ctx context.Context, prefix string) ([]string, error) {
	folder := strings.TrimSuffix(prefix, "/")
	if err := o.checkFolder("wsgate/" + folder); err != nil {
		return nil, err
	}
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
	if err := o.checkFile(StorageKey(key)); err != nil {
		return nil, err
	}
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

// Same compares the storages by what they say of themselves. Each configuration
// brings a value of its own, most often for the same place. Two values are the
// same place if they are one value. They also are if they have the same type,
// the same configuration (their exported fields as JSON, from which Caddy makes
// them) and the same name (their String method). If they have neither
// configuration nor name, they are two places: a needless move costs a few
// writes, but a missed move would lose a switch.
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
	nameA, namedA := nameOf(a)
	nameB, namedB := nameOf(b)
	confA, saysA := configurationOf(a)
	confB, saysB := configurationOf(b)
	if named, says := namedA && namedB, saysA && saysB; !named && !says {
		return false
	}
	return nameA == nameB && bytes.Equal(confA, confB)
}

// nameOf returns what a storage calls itself.
func nameOf(s Storage) (text string, ok bool) {
	defer func() {
		if recover() != nil { // for example because of a nil pointer
			text, ok = "", false
		}
	}()
	n, ok := s.(fmt.Stringer)
	if !ok {
		return "", false
	}
	return n.String(), true
}

// configurationOf returns the configuration of a storage. says is false if it
// is empty, or cannot be encoded.
func configurationOf(s Storage) (raw []byte, says bool) {
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
