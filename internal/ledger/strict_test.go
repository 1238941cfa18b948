package ledger

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

var nests = Kind{Fields: []string{"say", "how", "how.loud", "how.often"}}

func TestRecordsThatJSONReadersUnderstandDifferentlyAreRefused(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"a field twice":               {`{"say":"x","say":"y"}`, `field "say" is there twice`},
		"a field twice, escaped":      {`{"say":"x","\u0073ay":"y"}`, `field "say" is there twice`},
		"an unknown field twice":      {`{"say":"x","note":1,"note":1}`, `field "note" is there twice`},
		"a field inside twice":        {`{"say":"x","how":{"loud":1,"loud":2}}`, `field "loud" is there twice`},
		"a field in a list twice":     {`{"say":"x","note":[1,{"a":[{"b":1,"b":2}]}]}`, `field "b" is there twice`},
		"capitals":                    {`{"Say":"y","say":"x"}`, `field "Say": want "say"`},
		"capitals of a number":        {`{"say":"x","SEQ":7}`, `field "SEQ": want "seq"`},
		"another kind of s":           {`{"ſay":"y","say":"x"}`, `field "ſay": want "say"`},
		"capitals inside":             {`{"say":"x","how":{"Loud":1}}`, `field "how.Loud": want "how.loud"`},
		"null":                        {`{"say":null}`, `field "say": null`},
		"null inside":                 {`{"say":"x","how":{"loud":null}}`, `field "how.loud": null`},
		"null for a version":          {`{"say":"x","v":null}`, `field "v": null`},
		"no version":                  {`{"say":"x","v":0}`, `field "v": 0, want a positive number`},
		"a negative version":          {`{"say":"x","v":-1}`, `field "v": -1, want a positive number`},
		"a later version":             {`{"say":"x","v":2}`, `record of a later version: 2`},
		"a version that is no number": {`{"say":"x","v":1.5}`, `field "v": `},
		"number zero":                 {`{"say":"x","seq":0}`, `field "seq": 0, want 1 to 2^52-1`},
		"bytes that are no UTF-8":     {"{\"say\":\"\xff\"}", `not valid UTF-8`},
		"more than one object":        {`{"say":"x"}{}`, `decoding a record`},
		"half an object":              {`{"say":"x"`, `decoding a record`},
	} {
		_, err := decode(&nests, "words/a", []byte(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
	for _, text := range []string{
		`{"say":"x","note":null,"notes":[{"a":1},{"a":1}],"how":{"loud":1,"note":null},"loud":1,"Loud":2}`,
		`{"say":"x","v":1,"seq":1}`, `{}`, ` {"how":7}`,
	} {
		if _, err := decode(&nests, "words/a", []byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestUnknownFieldsInsideAreKept(t *testing.T) {
	for name, tt := range map[string]struct{ value, old, want string }{
		"inside":               {`{"how":{"loud":2}}`, `{"how":{"loud":1,"often":3,"where":"here"}}`, `{"how":{"loud":2,"where":"here"}}`},
		"of an unknown object": {`{"note":{"a":1}}`, `{"note":{"a":2,"b":2}}`, `{"note":{"a":1}}`},
		"it is gone":           {`{"say":"x"}`, `{"how":{"loud":1,"where":"here"}}`, `{"say":"x"}`},
		"it is no object":      {`{"how":7}`, `{"how":{"where":"here"}}`, `{"how":7}`},
		"it was no object":     {`{"how":{"loud":1}}`, `{"how":[7]}`, `{"how":{"loud":1}}`},
		"nothing was there":    {`{"say":"x"}`, ``, `{"say":"x"}`},
		"beside known fields":  {`{"say":"x"}`, `{"say":"y","how":1,"note":1}`, `{"note":1,"say":"x"}`},
	} {
		got, err := carryOver(json.RawMessage(tt.value), json.RawMessage(tt.old), nests.Fields, "")
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %s, %v, want %s", name, got, err, tt.want)
		}
	}
}

func TestRecordWithDeepJSONIsReadInTime(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		deep := maxRecord/2 - 20
		for i, text := range []string{
			`{"say":"x","note":` + strings.Repeat("[", deep) + strings.Repeat("]", deep) + `}`,
			`{"say":"x","note":` + strings.Repeat(`{"a":`, maxRecord/6-20) + "1" + strings.Repeat("}", maxRecord/6-20) + `}`,
		} {
			d.put(fmt.Sprint("words/", i), text)
		}
		b.Bind(OnStorage(d))
		synctest.Wait()
		if b.reads("0") != "x" || b.reads("1") != "x" {
			t.Errorf("%q", b.reported())
		}
		b.say(t, "1", "y")
		synctest.Wait()
		if stored(t, d, "1")["note"] == nil {
			t.Error("not kept")
		}
	})
}
