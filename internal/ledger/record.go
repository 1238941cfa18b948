package ledger

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Version is the format of the records that are written. A new field keeps the
// number if older versions may ignore it. A field that changes the meaning of a
// record raises the number, and older versions then ignore the record.
const Version = 1

const (
	// maxRecord is the longest record that is read or written, in bytes.
	maxRecord = 16 << 10
	// maxBy is the longest name of a node, in bytes.
	maxBy = 64
	// maxSeq is the highest number that is read or written. Every JSON reader is
	// exact up to there.
	maxSeq = 1<<52 - 1
)

// ErrVersion is returned for a record of a later format, because this version
// does not know its meaning.
var ErrVersion = errors.New("record of a later version")

// Record is one value of a key, with its time and its node.
type Record struct {
	// Key has the kind's prefix and a name: gates/chat.
	Key string
	// Value is a JSON object. Nil: there is no record.
	Value json.RawMessage
	// Seq counts the records of the key. Zero: there was none.
	Seq uint64
	// By is the node that put it. Empty: unknown.
	By string
	// SaidAt is when it was put. Zero: unknown.
	SaidAt time.Time
	// V is the format of the record. Zero: an older wsgate has written it,
	// without a format.
	V int
}

// NoTag is the tag of a key without a record.
const NoTag = `"0-"`

// Tag names the record among all of its key, in the form of an ETag.
func (r Record) Tag() string { return `"` + strconv.FormatUint(r.Seq, 10) + "-" + r.By + `"` }

// Same reports whether r and other are one record.
func (r Record) Same(other Record) bool {
	return r.Seq == other.Seq && r.sameWord(other)
}

// sameWord reports whether r and other were said once, perhaps with two numbers.
func (r Record) sameWord(other Record) bool {
	return r.By == other.By && r.SaidAt.Equal(other.SaidAt) && bytes.Equal(r.Value, other.Value)
}

// unnumbered reports whether an older wsgate has written the record, without a
// seq.
func (r Record) unnumbered() bool { return r.V == 0 && r.By == "" && r.SaidAt.IsZero() && r.Seq == 1 }

// Replaces reports whether r counts, which was found where old was expected. If
// the place has had old, whoever wrote a higher number has seen it, and an older
// wsgate, which writes no number, has replaced it. In all other cases the two
// were put without knowledge of each other: then the one that was said later
// counts.
func (r Record) Replaces(old Record, placed bool) bool {
	if placed && (r.Seq > old.Seq || r.unnumbered()) {
		return true
	}
	return cmp.Or(r.SaidAt.Compare(old.SaidAt), cmp.Compare(r.Seq, old.Seq), cmp.Compare(r.By, old.By)) > 0
}

// These fields stand beside those of the value, so that an older wsgate, which
// knows only the value's fields, can read the record.
const (
	fieldVersion = "v"
	fieldSeq     = "seq"
	fieldBy      = "by"
	fieldSaidAt  = "said_at"
)

// encode returns the record as one JSON object.
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

// decode reads a record from a place. If it returns an error, it also returns
// what it knows of the record: the seq counts even if the value cannot be used.
func decode(k *Kind, key string, raw []byte) (Record, error) {
	r := Record{Key: key}
	if len(raw) > maxRecord {
		return r, fmt.Errorf("%d bytes, want at most %d", len(raw), maxRecord)
	}
	fields, err := object(raw)
	if err != nil {
		return r, err
	}
	wrong := checkNames(fields, append([]string{fieldVersion, fieldSeq, fieldBy, fieldSaidAt}, k.Fields...), "")
	take := func(name string, into any) (there bool) {
		value, there := fields[name]
		if there {
			if err := json.Unmarshal(value, into); err != nil && wrong == nil {
				wrong = fmt.Errorf("field %q: %w", name, err)
			}
			delete(fields, name)
		}
		return there
	}
	numbered := take(fieldSeq, &r.Seq)
	versioned := take(fieldVersion, &r.V)
	take(fieldBy, &r.By)
	take(fieldSaidAt, &r.SaidAt)
	if r.Seq > maxSeq || numbered && r.Seq == 0 {
		if wrong == nil {
			wrong = fmt.Errorf("field %q: %d, want 1 to 2^52-1", fieldSeq, r.Seq)
		}
		r.Seq = 0
	}
	switch {
	case wrong != nil:
		return r, wrong
	case versioned && r.V < 1:
		return r, fmt.Errorf("field %q: %d, want a positive number", fieldVersion, r.V)
	case r.V > Version:
		return r, fmt.Errorf("%w: %d, this version knows up to %d", ErrVersion, r.V, Version)
	case !validBy(r.By):
		return r, fmt.Errorf("field %q: want at most %d letters, digits, '_', '.' or '-'", fieldBy, maxBy)
	}
	r.Seq = max(r.Seq, 1) // an older wsgate writes no seq
	r.Value, err = json.Marshal(fields)
	return r, err
}

// validBy reports whether s can name a node. The name is part of an ETag.
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
