package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// object decodes a JSON object. Any other JSON value is an error, and so are
// text that is not UTF-8 and a field that is there twice, at any depth: readers
// of JSON do not agree on what these mean.
func object(raw []byte) (map[string]json.RawMessage, error) {
	if !bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) {
		return nil, errors.New("not a JSON object")
	}
	if !utf8.Valid(raw) {
		return nil, errors.New("not valid UTF-8")
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, fmt.Errorf("decoding a record: %w", err)
	}
	return fields, checkOnce(json.NewDecoder(bytes.NewReader(raw)))
}

// checkOnce refuses a field that is there twice in an object of the next value.
func checkOnce(d *json.Decoder) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	opens, is := token.(json.Delim)
	if !is {
		return nil
	}
	for seen := make(map[string]bool); d.More(); {
		if opens == '{' {
			token, err := d.Token()
			if err != nil {
				return err
			}
			name, _ := token.(string)
			if seen[name] {
				return fmt.Errorf("field %q is there twice", name)
			}
			seen[name] = true
		}
		if err := checkOnce(d); err != nil {
			return err
		}
	}
	_, err = d.Token() // the closing bracket
	return err
}

// checkNames refuses a field that has the name of a known one in another case,
// which encoding/json would take for it, and a known one that is null. Known
// fields of an object inside have names with dots: closing.code.
func checkNames(fields map[string]json.RawMessage, known []string, in string) error {
	for name, value := range fields {
		for _, want := range known {
			want, inside := strings.CutPrefix(want, in)
			switch {
			case !inside || strings.Contains(want, "."):
			case name != want && strings.EqualFold(name, want):
				return fmt.Errorf("field %q: want %q", in+name, in+want)
			case name == want && string(value) == "null":
				return fmt.Errorf("field %q: null", in+name)
			}
		}
		if !hasInside(known, in+name) {
			continue
		}
		if inner, err := object(value); err == nil {
			if err := checkNames(inner, known, in+name+"."); err != nil {
				return err
			}
		}
	}
	return nil
}

// hasInside reports whether known fields lie in an object with this name.
func hasInside(known []string, name string) bool {
	return slices.ContainsFunc(known, func(k string) bool { return strings.HasPrefix(k, name+".") })
}

// canonical returns a value as a place gives it back.
func canonical(value json.RawMessage) (json.RawMessage, error) {
	fields, err := object(value)
	if err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}

// carryOver copies the unknown fields of old to value, also those of known
// objects inside that both have, so that the version that wrote them finds them again.
func carryOver(value, old json.RawMessage, known []string, in string) (json.RawMessage, error) {
	fields, err := object(value)
	if err != nil {
		return nil, err
	}
	from, err := object(old)
	if err != nil {
		return value, nil //nolint:nilerr // there is nothing to carry over
	}
	for name, theirs := range from {
		ours, taken := fields[name]
		switch {
		case taken && hasInside(known, in+name):
			if inner, err := carryOver(ours, theirs, known, in+name+"."); err == nil {
				fields[name] = inner
			}
		case !taken && !slices.Contains(known, in+name):
			fields[name] = theirs
		}
	}
	return json.Marshal(fields)
}
