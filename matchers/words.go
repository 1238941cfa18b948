package matchers

import (
	"fmt"
	"strings"
	"time"

	"github.com/wsgate/wsgate/gate"
)

// String returns the rule as a line of the configuration, for operators.
func (m *EnvFlag) String() string {
	words := []string{"env_flag"}
	for i, f := range m.Flags {
		if i > 0 {
			words = append(words, "and")
		}
		words = append(words, f.Name)
		if f.Value != "" {
			words = append(words, f.Value)
		}
	}
	return strings.Join(words, " ")
}

// String returns the rule as lines of the configuration, for operators.
func (m *TimeWindow) String() string {
	lines := make([]string, len(m.Windows))
	for i, w := range m.Windows {
		words := append([]string(nil), w.Hours...)
		words = append(words, w.Days...)
		if w.Zone != "" {
			words = append(words, w.Zone)
		}
		if len(w.Except) > 0 {
			words = append(append(words, "except"), w.Except...)
		}
		lines[i] = strings.Join(words, " ")
	}
	return "time_window " + strings.Join(lines, ", ")
}

// Zone implements gate.Zoned. It returns the zone of the first window.
func (m *TimeWindow) Zone() *time.Location {
	if len(m.zones) == 0 {
		return nil
	}
	return m.zones[0]
}

// Interface guards
var (
	_ fmt.Stringer = (*EnvFlag)(nil)
	_ fmt.Stringer = (*TimeWindow)(nil)
	_ gate.Zoned   = (*TimeWindow)(nil)
)
