package policy

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

func TestJSONIsToldTheNewNameOfOnClose(t *testing.T) {
	p := new(Policy)
	if err := json.Unmarshal([]byte(`{"on_close":{"policy":"drain"}}`), p); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Provision(caddy.Context{}); err == nil || !strings.Contains(err.Error(), "on_close is called closing now") {
		t.Errorf("provision: %v", err)
	}
}

func TestOnePlaceValidatesAClosing(t *testing.T) {
	for words, want := range map[string]string{
		`"deadline":"25h"`:    "closing.deadline: 25h0m0s: want 0s to 24h",
		`"deadline":-1`:       "closing.deadline: -1ns: want 0s to 24h",
		`"code":1005`:         "closing.code: 1005 must not be sent",
		`"code":70000`:        "closing.code: 70000 must not be sent",
		`"code":-1`:           "closing.code: -1 must not be sent",
		`"reason":"a\u0000b"`: "closing.reason: control characters are not allowed",
		`"reason":"` + strings.Repeat("x", 124) + `"`: "closing.reason: 124 bytes",
		`"code":1012,"deadline":"1h"`:                 "",
	} {
		p := new(Policy)
		if err := json.Unmarshal([]byte(`{"closing":{"policy":"drain",`+words+`}}`), p); err != nil {
			t.Fatal(err)
		}
		_, err := p.Provision(caddy.Context{})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", words, err, want)
		}
	}
}

func TestPoliciesThatSayTheSameInOtherWordsAreTheSame(t *testing.T) {
	read := func(text string) *Policy {
		p := new(Policy)
		if err := json.Unmarshal([]byte(text), p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, tt := range []struct {
		a, b        string
		same, empty bool // empty: a is
	}{
		{`{}`, `{"@id":"x"}`, true, true},
		{`{}`, `{"mode":"auto","when_closed":503,"closing":{"policy":"keep"}}`, true, true},
		{`{"mode":"auto"}`, `{"mode":"off"}`, false, false},
		{`{"when_closed":503}`, `{}`, true, false},
		{`{"closing":{"policy":"keep"}}`, `{"closing":{"policy":"drain"}}`, false, false},
		{`{"closing":{"policy":"drain"}}`, `{"closing":{"policy":"drain","deadline":"30s"}}`, true, false},
		{`{"closing":{"policy":"drain","deadline":"1m"}}`, `{"closing":{"policy":"drain"}}`, false, false},
		{`{"closing":{"policy":"ajar"}}`, `{"closing":{"policy":"ajar"}}`, false, false},
		{`{"reason":"x"}`, `{"reason":"y"}`, false, false},
		{`{"open_when":[{"rule":{"a":{}}},{"not":true,"rule":{"b":{}}}]}`, `{"open_when":[{"not":true,"rule":{"b":{}}},{"rule":{"a":{}}}]}`, true, false},
		{`{"open_when":[{"rule":{"a":{}}}]}`, `{"open_when":[{"not":true,"rule":{"a":{}}}]}`, false, false},
		{`{"on_close":{}}`, `{}`, false, false},
	} {
		if a, b := read(tt.a), read(tt.b); a.Same(b) != tt.same || b.Same(a) != tt.same || a.Empty() != tt.empty {
			t.Errorf("%s and %s: the same %v, empty %v", tt.a, tt.b, a.Same(b), a.Empty())
		}
	}
}

func TestPolicyThatIsNoJSONIsTheSameAsNone(t *testing.T) {
	p := &Policy{OpenWhen: []OpenWhen{{RuleRaw: caddy.ModuleMap{"a": json.RawMessage("{")}}}}
	if p.Same(p) {
		t.Error("nobody can tell what it means")
	}
}

func TestWhenClosedIs503(t *testing.T) {
	for status, good := range map[int]bool{0: true, 503: true, 404: false, 502: false} {
		p := &Policy{WhenClosed: status}
		if _, err := p.Provision(caddy.Context{}); (err == nil) != good {
			t.Errorf("%d: %v", status, err)
		}
	}
}
