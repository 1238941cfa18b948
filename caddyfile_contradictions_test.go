package wsgate

import (
	"strings"
	"testing"
)

// TestAdaptingWarnsOfWordsThatContradictEachOther looks for the warning of a
// gate in a directive and in the global option.
func TestAdaptingWarnsOfWordsThatContradictEachOther(t *testing.T) {
	const never, unasked = "can never open", "are not asked"
	for name, c := range map[string]struct{ lines, warned string }{
		"morning and afternoon in two lines": {"open_when time_window 09:00-12:00\nopen_when time_window 13:00-18:00", never},
		"morning and afternoon in a block":   {"open_when time_window {\n09:00-12:00\n13:00-18:00\n}", ""},
		"a window and its contrary":          {"open_when time_window 09:00-12:00\nopen_when not time_window 09:00-12:00", never},
		"a window without its lunch":         {"open_when time_window 09:00-18:00\nopen_when not time_window 12:00-13:00", ""},
		"two values of a flag":               {"open_when env_flag A 1\nopen_when env_flag A 2", never},
		"two flags":                          {"open_when env_flag A\nopen_when env_flag B", ""},
		"never not":                          {"open_when not time_window 00:00-24:00", never},
		"mode on":                            {"mode on\nopen_when env_flag A", "mode on stands beside open_when in this wsgate: its rules " + unasked},
		"mode off, below":                    {"open_when env_flag A\nmode off", "mode off stands beside open_when in this wsgate: its rules " + unasked},
		"mode auto":                          {"mode auto\nopen_when env_flag A", ""},
		"mode off alone":                     {"mode off", ""},
		"nothing":                            {"gate chat", ""},
	} {
		for where, text := range map[string]string{
			"in a directive": site("wsgate ws://localhost:9001", c.lines),
			"globally":       "{\n\twsgate {\n\t\tgate chat {\n" + c.lines + "\n}\n}\n}\n",
		} {
			if where == "globally" && strings.HasPrefix(c.lines, "gate") {
				continue
			}
			t.Run(name+" "+where, func(t *testing.T) {
				var got []string
				for _, w := range warnings(t, text) {
					if strings.Contains(w.Message, never) || strings.Contains(w.Message, unasked) {
						got = append(got, w.Message)
						if w.Line == 0 {
							t.Error("the warning names no line")
						}
					}
				}
				if all := strings.Join(got, "; "); (all == "") != (c.warned == "") || !strings.Contains(all, c.warned) {
					t.Errorf("warned %q, want %q", all, c.warned)
				}
			})
		}
	}
}
