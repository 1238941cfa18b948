package matchers

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types/ref"
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/window"
)

func init() {
	caddy.RegisterModule(new(TimeWindow))
}

// TimeWindow matches while the time lies in any of its windows. As a rule of a
// gate it also knows when that changes.
type TimeWindow struct {
	// The windows; any of them is enough. At least one.
	Windows []Window `json:"windows,omitempty"`

	// Set once by Provision.
	schedule *window.Schedule
	zones    []*time.Location
}

// Window is a set of hours on a set of days.
type Window struct {
	// Stretches of the day, `HH:MM-HH:MM`, from the first minute until just
	// before the second. `24:00` may end one. One that ends before it begins
	// runs overnight and belongs to the day it began. At least one.
	Hours []string `json:"hours,omitempty"`

	// The days on which the hours begin: `mon-fri`, `sat,sun`, `daily`.
	// Default: `daily`.
	Days []string `json:"days,omitempty"`

	// The time zone of hours, days and dates: an IANA name, `UTC` or `local`.
	// Default: `local`, the zone of the server.
	Zone string `json:"zone,omitempty"`

	// Dates on which no hours begin: `2026-12-24`, or a range with both ends
	// included, `2026-12-24..2027-01-01`.
	Except []string `json:"except,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*TimeWindow) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.matchers.time_window",
		New: func() caddy.Module { return new(TimeWindow) },
	}
}

// Provision turns the words into a schedule.
func (m *TimeWindow) Provision(caddy.Context) error {
	if len(m.Windows) == 0 {
		return fmt.Errorf("time_window: no window: want at least one with hours such as 09:00-18:00")
	}
	windows := make([]window.Window, len(m.Windows))
	for i, w := range m.Windows {
		var err error
		if windows[i], err = window.Parse(window.Spec(w)); err != nil {
			return fmt.Errorf("time_window: %w", err)
		}
		m.zones = append(m.zones, windows[i].Zone)
	}
	m.schedule = window.New(windows...)
	return nil
}

// Match reports whether the time lies in a window now.
func (m *TimeWindow) Match(*http.Request) bool { return m.schedule.Contains(time.Now()) }

// MatchWithError is Match; it never fails.
func (m *TimeWindow) MatchWithError(r *http.Request) (bool, error) { return m.Match(r), nil }

// Eval implements gate.Rule.
func (m *TimeWindow) Eval(now time.Time) (holds bool, next time.Time, err error) {
	holds, next = m.schedule.At(now)
	return holds, next, nil
}

// Describe shows the windows and the zone in force.
func (m *TimeWindow) Describe(now time.Time) map[string]any {
	zone, abbreviation := zoneName(m.zones[0]), now.In(m.zones[0]).Format("-07:00")
	windows := make([]map[string]any, len(m.Windows))
	for i, w := range m.Windows {
		windows[i] = map[string]any{"hours": w.Hours, "zone": zoneName(m.zones[i])}
		if len(w.Days) > 0 {
			windows[i]["days"] = w.Days
		}
		if len(w.Except) > 0 {
			windows[i]["except"] = w.Except
		}
	}
	return map[string]any{"zone": zone, "utc_offset": abbreviation, "windows": windows}
}

// zoneName names a zone as the configuration does.
func zoneName(zone *time.Location) string {
	if zone == time.Local {
		return "local"
	}
	return zone.String()
}

// UnmarshalCaddyfile reads
//
//	time_window <HH:MM-HH:MM>... [<days>...] [<zone>] [except <date>|<date>..<date> ...]
//	time_window {
//		hours  <HH:MM-HH:MM>...
//		days   <days>...
//		zone   <zone>
//		except <date>|<date>..<date> ...
//	}
//
// Several lines are several windows.
func (m *TimeWindow) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	for d.Next() {
		w, err := parseLine(d)
		if err != nil {
			return err
		}
		if err := parseBlock(d, &w); err != nil {
			return err
		}
		if _, err := window.Parse(window.Spec(w)); err != nil {
			return d.Errf("time_window: %v", err)
		}
		m.Windows = append(m.Windows, w)
	}
	return nil
}

// parseLine sorts the words of a line by what they look like.
func parseLine(d *caddyfile.Dispenser) (Window, error) {
	var w Window
	args := d.RemainingArgs()
	for i, word := range args {
		switch {
		case word == "except":
			if w.Except = args[i+1:]; len(w.Except) == 0 {
				return w, d.Err("time_window: except without a date: want YYYY-MM-DD or YYYY-MM-DD..YYYY-MM-DD")
			}
			for _, date := range w.Except {
				if date == "except" {
					return w, d.Err("time_window: except is given twice: name all dates after one")
				}
			}
			return w, nil
		case word == "":
			return w, d.Err("time_window: an empty word: want hours, days, a zone, and except")
		case strings.ContainsRune("0123456789", rune(word[0])):
			w.Hours = append(w.Hours, word)
		case window.IsDays(word):
			w.Days = append(w.Days, word)
		case w.Zone != "":
			return w, d.Errf("time_window: %q: the zone is %q already; want hours, days, one zone, and except", word, w.Zone)
		default:
			w.Zone = word
		}
	}
	return w, nil
}

// parseBlock reads the same words as lines of a block.
func parseBlock(d *caddyfile.Dispenser, w *Window) error {
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		var to *[]string
		name := d.Val()
		switch name {
		case "hours":
			to = &w.Hours
		case "days":
			to = &w.Days
		case "except":
			to = &w.Except
		case "zone":
			if w.Zone != "" {
				return d.Errf("time_window: zone is given twice")
			}
			if !d.Args(&w.Zone) || d.NextArg() {
				return d.Errf("time_window: zone: want one name such as Europe/Berlin, UTC or local")
			}
			continue
		default:
			return d.Errf("time_window: unknown word %q: want hours, days, zone or except", name)
		}
		if len(*to) > 0 {
			return d.Errf("time_window: %s is given twice: put all of it on one line", name)
		}
		if *to = d.RemainingArgs(); len(*to) == 0 {
			return d.Errf("time_window: %s: want at least one value", name)
		}
	}
	return nil
}

// CELLibrary makes time_window("09:00-18:00", "mon-fri", "UTC") an expression;
// its strings are the words of a line.
func (*TimeWindow) CELLibrary(ctx caddy.Context) (cel.Library, error) {
	return caddyhttp.CELMatcherImpl("time_window", "time_window_request_list",
		[]*cel.Type{cel.ListType(cel.StringType)},
		func(data ref.Val) (caddyhttp.RequestMatcherWithError, error) {
			words, err := stringList(data)
			if err != nil {
				return nil, err
			}
			m := new(TimeWindow)
			if err := m.UnmarshalCaddyfile(words.dispenser("time_window")); err != nil {
				return nil, err
			}
			return m, m.Provision(ctx)
		})
}

// Interface guards
var (
	_ caddy.Provisioner                 = (*TimeWindow)(nil)
	_ caddyfile.Unmarshaler             = (*TimeWindow)(nil)
	_ caddyhttp.RequestMatcherWithError = (*TimeWindow)(nil)
	_ caddyhttp.CELLibraryProducer      = (*TimeWindow)(nil)
	_ gate.Rule                         = (*TimeWindow)(nil)
	_ gate.Describer                    = (*TimeWindow)(nil)
)
