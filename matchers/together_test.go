package matchers

import (
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/wsgate/wsgate/gate"
)

func TestConditionsThatCanNeverHoldTogetherAreKnown(t *testing.T) {
	for _, tt := range []struct {
		name, why string
		lines     []string
	}{
		{"none", "", nil},
		{"one window", "", []string{"time_window 09:00-18:00 UTC"}},
		{"windows that meet", "", []string{"time_window 09:00-18:00 UTC", "not time_window 12:00-13:00 UTC"}},
		{"windows that never meet", "no moment in common", []string{"time_window 09:00-12:00 UTC", "time_window 13:00-18:00 UTC"}},
		{"with a flag between them", "no moment in common", []string{"time_window 09:00-12:00 UTC", "env_flag A", "time_window 13:00-18:00 UTC"}},
		{"a window excepted for years", "no moment within two years", []string{"time_window 09:00-12:00 UTC except 2020-01-01..2090-01-01"}},
		{"never not", "no moment within two years", []string{"not time_window 00:00-24:00 UTC"}},
		{"two flags", "", []string{"env_flag A 1", "env_flag B 2"}},
		{"one flag twice", "", []string{"env_flag A 1", "env_flag A 1"}},
		{"a flag with and without its value", "", []string{"env_flag A", "env_flag A 1"}},
		{"a flag's value that means unset", "A would have to be two things", []string{"env_flag A", "env_flag A off"}},
		{"two values of a flag", "A would have to be two things", []string{"env_flag A 1", "env_flag A 2"}},
		{"a flag and its contrary", "A would have to be set and not set", []string{"env_flag A", "not env_flag A"}},
		{"a value and no value at all", "A would have to be set and not set", []string{"env_flag A 1", "not env_flag A"}},
		{"any value but one", "", []string{"env_flag A", "not env_flag A 1"}},
		{"not one value and not another", "", []string{"not env_flag A 1", "not env_flag A 2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var all []gate.Condition
			for _, text := range tt.lines {
				text, not := strings.CutPrefix(text, "not ")
				name, _, _ := strings.Cut(text, " ")
				rule := map[string]interface {
					gate.Rule
					caddyfile.Unmarshaler
				}{"time_window": new(TimeWindow), "env_flag": new(EnvFlag)}[name]
				if err := rule.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)); err != nil {
					t.Fatal(err)
				}
				all = append(all, gate.Condition{Name: name, Not: not, Rule: rule})
			}
			why := Never(time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC), all)
			if (why == "") != (tt.why == "") || !strings.Contains(why, tt.why) {
				t.Errorf("got %q, want %q", why, tt.why)
			}
		})
	}
}
