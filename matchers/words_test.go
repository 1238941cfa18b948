package matchers

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func TestRulesSayWhatTheyAreForOperators(t *testing.T) {
	for _, tt := range []struct {
		rule interface{ String() string }
		want string
	}{
		{&EnvFlag{Flags: []FlagTest{{Name: "A"}}}, "env_flag A"},
		{&EnvFlag{Flags: []FlagTest{{Name: "A", Value: "1"}, {Name: "B"}}}, "env_flag A 1 and B"},
		{&TimeWindow{Windows: []Window{{Hours: []string{"09:00-18:00"}}}}, "time_window 09:00-18:00"},
		{
			&TimeWindow{Windows: []Window{
				{Hours: []string{"09:00-12:00", "13:00-18:00"}, Days: []string{"mon-fri"}, Zone: "Asia/Tokyo", Except: []string{"2026-12-24"}},
				{Hours: []string{"10:00-14:00"}, Days: []string{"sat"}},
			}},
			"time_window 09:00-12:00 13:00-18:00 mon-fri Asia/Tokyo except 2026-12-24, 10:00-14:00 sat",
		},
	} {
		if got := tt.rule.String(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestTimeWindowTellsTimesInTheZoneOfItsFirstWindow(t *testing.T) {
	m := &TimeWindow{Windows: []Window{{Hours: []string{"09:00-18:00"}, Zone: "Asia/Tokyo"}, {Hours: []string{"10:00-14:00"}, Zone: "UTC"}}}
	if zone := m.Zone(); zone != nil {
		t.Errorf("before it was provisioned: %v", zone)
	}
	if err := m.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	if zone := m.Zone(); zone.String() != "Asia/Tokyo" {
		t.Errorf("got %v", zone)
	}
}

func TestRulesAreDescribedForOperators(t *testing.T) {
	t.Setenv("WSGATE_TEST_DESCRIBED", "secret")
	for name, tt := range map[string]struct {
		flags []FlagTest
		want  map[string]any
	}{
		"set by the environment, any value": {[]FlagTest{{Name: "WSGATE_TEST_DESCRIBED"}}, map[string]any{"name": "WSGATE_TEST_DESCRIBED", "source": "environment"}},
		"a value, unset":                    {[]FlagTest{{Name: "WSGATE_TEST_UNSET", Value: "1"}}, map[string]any{"name": "WSGATE_TEST_UNSET", "source": "unset", "want": "1"}},
		"two": {
			[]FlagTest{{Name: "WSGATE_TEST_UNSET"}, {Name: "WSGATE_TEST_DESCRIBED"}},
			map[string]any{"name": "WSGATE_TEST_UNSET", "source": "unset", "names": []string{"WSGATE_TEST_UNSET", "WSGATE_TEST_DESCRIBED"}},
		},
	} {
		if got := (&EnvFlag{Flags: tt.flags}).Describe(time.Now()); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
	m := &TimeWindow{Windows: []Window{{Hours: []string{"09:00-18:00"}, Zone: "Asia/Tokyo"}, {Hours: []string{"10:00-14:00"}, Days: []string{"sat"}, Except: []string{"2026-12-24"}}}}
	if err := m.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"zone": "Asia/Tokyo", "utc_offset": "+09:00", "windows": []map[string]any{
		{"hours": []string{"09:00-18:00"}, "zone": "Asia/Tokyo"},
		{"hours": []string{"10:00-14:00"}, "zone": "local", "days": []string{"sat"}, "except": []string{"2026-12-24"}},
	}}
	if got := m.Describe(time.Now()); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTimeWindowInACaddyfileIsALineOrABlock(t *testing.T) {
	for name, tt := range map[string]struct {
		text, want string // want: the windows, or the error
	}{
		"a line":                   {"time_window 09:00-12:00 mon-fri UTC", "time_window 09:00-12:00 mon-fri UTC"},
		"two lines":                {"time_window 09:00-12:00\ntime_window 13:00-18:00", "time_window 09:00-12:00, 13:00-18:00"},
		"a block":                  {"time_window {\n09:00-12:00\n13:00-18:00 sat\nzone UTC\n}", "time_window 09:00-12:00 UTC, 13:00-18:00 sat UTC"},
		"a line that is wrong":     {"time_window 9:00-12:00", `time_window: hours "9:00-12:00": want 09:00-12:00`},
		"a line in a block, wrong": {"time_window {\nmon-fri 09:00-18:00\n}", "time_window: hours, then days"},
		"a zone that nobody knows": {"time_window {\n09:00-12:00\nzone Asia/Tokio\n}", "did you mean Asia/Tokyo?"},
		"words beside a block":     {"time_window 09:00-12:00 {\n13:00-18:00\n}", `time_window: "09:00-12:00" beside a block: want it as a line of the block`},
		"a block in a block":       {"time_window {\n09:00-18:00 {\nmon-fri\n}\n}", "time_window: a line of the block takes no block of its own"},
		"a block without hours":    {"time_window {\nzone UTC\n}", "time_window: "},
	} {
		t.Run(name, func(t *testing.T) {
			m := new(TimeWindow)
			if err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(tt.text)); err != nil {
				if !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				return
			}
			if got := m.String(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestEnvFlagInACaddyfileIsRefusedWithWhatWouldBeRight(t *testing.T) {
	for line, want := range map[string]string{
		"env_flag":             "env_flag: want a name",
		"env_flag A=1":         "env_flag A=1: want env_flag A 1",
		"env_flag $A":          "env_flag $A: want env_flag A",
		"env_flag A-B":         "env_flag A-B: want env_flag A_B",
		"env_flag !A 1":        "env_flag !A 1: want not env_flag A 1",
		"env_flag A 1 2":       `env_flag A: want one value at most, got "1 2"`,
		`env_flag A ""`:        "env_flag A: an empty value means unset",
		"env_flag A {\nB\n}":   "env_flag A: takes no block",
		"env_flag 1A":          "env_flag: flag name: ",
		"env_flag A\nenv_flag": "env_flag: want a name",
	} {
		if err := new(EnvFlag).UnmarshalCaddyfile(caddyfile.NewTestDispenser(line)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", line, err, want)
		}
	}
}
