package nearest

import (
	"slices"
	"strings"
	"testing"
)

func TestTheWordThatWasMeantIsFound(t *testing.T) {
	options := []string{"gate", "mode", "open_when", "when_closed", "closing", "header_up", "header_down", "idle_timeout", "to"}
	for word, want := range map[string]string{
		"gat":          "gate",
		"gaet":         "gate",
		"Gate":         "gate",
		"headers_up":   "header_up",
		"header-up":    "header_up",
		"header":       "header_up header_down",
		"openwhen":     "open_when",
		"open-when":    "open_when",
		"idle_timout":  "idle_timeout",
		"idle":         "idle_timeout",
		"close":        "",
		"closin":       "closing",
		"ping":         "",
		"require":      "",
		"x":            "",
		"":             "",
		"ramp":         "",
		"TO":           "to",
		"do":           "",
		"eidt":         "",
		"moed":         "mode",
		"omde":         "mode",
		"mdoe":         "mode",
		"mdeo":         "",
		"rome":         "",
		"mode_of_gate": "",
	} {
		if got := strings.Join(To(word, options), " "); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

func TestThreeWordsAreOfferedAtMost(t *testing.T) {
	words := []string{"health_uri", "health_uri", "health_path", "health_port", "health_body"}
	if got := To("health", words); !slices.Equal(got, []string{"health_uri", "health_path", "health_port"}) {
		t.Errorf("got %v", got)
	}
}

func TestAHintIsAQuestion(t *testing.T) {
	if got := Hint("gat", []string{"gate", "mode"}); got != "did you mean gate?" {
		t.Errorf("got %q", got)
	}
	if got := Hint("header", []string{"header_up", "header_down"}); got != "did you mean header_up or header_down?" {
		t.Errorf("got %q", got)
	}
	if got := Hint("xyz", []string{"gate"}); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestAWordAsLongAsARequestCostsNothing(t *testing.T) {
	if got := To(strings.Repeat("x", 1<<20), []string{"gate", strings.Repeat("y", 100)}); got != nil {
		t.Errorf("got %v", got)
	}
}
