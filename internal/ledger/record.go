package ledger

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Version is the format of the records that are written. A new field that
// older versions may leave aside keeps the number. One that changes what a
// record means raises it, and older versions then leave the record alone.
const Version = 1

const (
	// maxRecord is the longest record that is read or written, in bytes.
	maxRecord = 16 << 10
	// maxBy is the longest name of a writer, in bytes.
	maxBy = 64
	// maxSeq is the highest number that is read. Numbers go on from there, and every
	// JSON reader keeps them exactly up to 2^53.
	maxSeq = 1 << 52
)

// ErrVersion is returned for a record of a later format, whose meaning is not
// known here.
var ErrVersion = errors.New("record of a later version")

// Record is what was said under a key, and when, and where.
type Record struct {
	// Key has the kind's prefix and a name: gates/chat.
	Key string
	// Value is a JSON object. Nil: nothing is said.
	Value json.RawMessage
	// Seq counts what was said under the key. Zero: nothing was.
	Seq uint64
	// By is who wrote it: the name of a node. Empty: not known.
	By string
	// SaidAt is when it was said. Zero: not known.
	SaidAt time.Time
	// V is the format of the record. Zero: it was written before there was one.
	V int
}

// NoTag is the tag of a key under which nothing is said.
const NoTag = `"0-"`

// Tag names the record among all of its key, in the form of an ETag.
func (r Record) Tag() string { return `"` + strconv.FormatUint(r.Seq, 10) + "-" + r.By + `"` }

// Same reports whether r and other are one record.
func (r Record) Same(other Record) bool {
	return r.Seq == other.Seq && r.By == other.By && r.SaidAt.Equal(other.SaidAt) && bytes.Equal(r.Value, other.Value)
}

// numberless reports whether an older wsgate has written the record, which knew no
// numbers.
func (r Record) numberless() bool { return r.V == 0 && r.By == "" && r.SaidAt.IsZero() && r.Seq <= 1 }

// Later reports whether r comes after than.
func (r Record) Later(than Record) bool {
	return cmp.Or(cmp.Compare(r.Seq, than.Seq), cmp.Compare(r.By, than.By)) > 0
}

// The fields that stand beside those of the value. Who knows only the value's
// fields, as wsgate did before, reads the record all the same.
const (
	fieldVersion = "v"
	fieldSeq     = "seq"
	fieldBy      = "by"
	fieldSaidAt  = "said_at"
)

// encode writes a record as one JSON object.
func (r Record) encode() ([]byte, error) {
	fields, err := object(r.Value)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]any{fieldVersion: r.V, fieldSeq: r.Seq, fieldBy: r.By, fieldSaidAt: r.SaidAt.UTC()} {
		if fields[name], err = json.Marshal(value); err != nil {
			return nil, fmt.Errorf("encoding field %q: %w", name, err)
		}
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("encoding a record: %w", err)
	}
	if len(raw) > maxRecord {
		return nil, fmt.Errorf("encoding a record: %d bytes, want at most %d", len(raw), maxRecord)
	}
	return raw, nil
}

// decode reads what a place has. With an error it returns what it knows of the
// record: its number counts although its meaning does not.
func decode(key string, raw []byte) (Record, error) {
	r := Record{Key: key}
	if len(raw) > maxRecord {
		return r, fmt.Errorf("%d bytes, want at most %d", len(raw), maxRecord)
	}
	fields, err := object(raw)
	if err != nil {
		return r, err
	}
	var wrong error
	take := func(name string, into any) {
		if value, ok := fields[name]; ok {
			if err := json.Unmarshal(value, into); err != nil && wrong == nil {
				wrong = fmt.Errorf("field %q: %w", name, err)
			}
			delete(fields, name)
		}
	}
	take(fieldSeq, &r.Seq)
	take(fieldVersion, &r.V)
	take(fieldBy, &r.By)
	take(fieldSaidAt, &r.SaidAt)
	if r.Seq >= maxSeq {
		r.Seq, wrong = 0, fmt.Errorf("field %q: %d, want less than 2^52", fieldSeq, r.Seq)
	}
	switch {
	case wrong != nil:
		return r, wrong
	case r.V > Version || r.V < 0:
		return r, fmt.Errorf("%w: %d, known here up to %d", ErrVersion, r.V, Version)
	case !validBy(r.By):
		return r, fmt.Errorf("field %q: want at most %d letters, digits, '_', '.' or '-'", fieldBy, maxBy)
	}
	r.Seq = max(r.Seq, 1) // written before records had a number
	r.Value, err = json.Marshal(fields)
	return r, err
}

// object reads a JSON object, and nothing else.
func object(raw []byte) (map[string]json.RawMessage, error) {
	if !bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) {
		return nil, errors.New("not a JSON object")
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, fmt.Errorf("decoding a record: %w", err)
	}
	return fields, nil
}

// unknown returns the names of a value's fields that are not known, sorted.
func unknown(value json.RawMessage, known []string) []string {
	fields, err := object(value)
	if err != nil {
		return nil
	}
	var names []string
	for name := range fields {
		if !slices.Contains(known, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// carryOver returns value with the fields of old that are not known: who wrote
// them finds them again.
func carryOver(value, old json.RawMessage, known []string) (json.RawMessage, error) {
	names := unknown(old, known)
	if len(names) == 0 {
		return value, nil
	}
	fields, err := object(value)
	if err != nil {
		return nil, err
	}
	from, err := object(old)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if _, taken := fields[name]; !taken {
			fields[name] = from[name]
		}
	}
	return json.Marshal(fields)
}

// validBy reports whether s may name a writer. It stands in an ETag.
func validBy(s string) bool {
	if len(s) > maxBy {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '.', c == '-':
		default:
			return false
		}
	}
	return true
}
