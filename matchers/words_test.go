package matchers

import (
	"reflect"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
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
