package gate

import (
	"strings"
	"testing"
	"time"
)

func TestNamesOfGates(t *testing.T) {
	for name, valid := range map[string]bool{
		"a": true, "z": true, "A": true, "Z": true, "0": true, "9": true, "_": true, "-": true, "a.b": true, "...": true,
		strings.Repeat("x", 64): true, strings.Repeat("x", 65): false, "": false, ".": false, "..": false,
		"`": false, "{": false, "@": false, "[": false, "/": false, ":": false, "a b": false, "ä": false, "a\x00": false,
	} {
		if ValidName(name) != valid {
			t.Errorf("%q: %v", name, !valid)
		}
	}
}

func TestUntilIsTheEndOfAnOverrideAboveARuleThatNoClockChanges(t *testing.T) {
	g := New(Policy{OpenWhen: []Condition{{Name: "l", Rule: &lever{}}}}, start)
	end := start.Add(time.Hour)
	if _, s := g.SetOverride(&Override{Mode: On, Expires: end}, start); !s.Until.Equal(end) {
		t.Errorf("until %s, want %s", s.Until, end)
	}
}
