package matchers

import (
	"errors"
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
	"github.com/wsgate/wsgate/internal/nearest"
	"github.com/wsgate/wsgate/window"
)

func init() {
	caddy.RegisterModule(new(TimeWindow))
}

// TimeWindow matches while the time is in any of its windows. As a rule of a
// gate it also knows when that changes next.
type TimeWindow struct {
	// The windows; any one of them is enough. At least one.
	Windows []Window `json:"windows,omitempty"`

	// Set once by Provision.
	schedule *window.Schedule
	zones    []*time.Location
}

// Window is a set of hours on a set of days.
type Window struct {
	// Parts of the day, `HH:MM-HH:MM`, from the first minute until just before
	// the second. The second may be `24:00`. If it is earlier than the first,
	// the window runs overnight and belongs to the day on which it began. At
	// least one.
	Hours []string `json:"hours,omitempty"`

	// The days on which the hours begin: `mon-fri`, `sat,sun`, `daily`.
	// Default: `daily`.
	Days []string `json:"days,omitempty"`

	// The time zone of hours, days and dates: an IANA name, `UTC` or `local`.
	// Default: `local`, the zone of the server.
	Zone string `json:"zone,omitempty"`

	// Dates on which no hours begin: `2026-12-24`, or a range with both ends
	// included, `2026-12-24..2027-01-01`. Default: none.
	Except []string `json:"except,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*TimeWindow) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.matchers.time_window",
		New: func() caddy.Module { return new(TimeWindow) },
	}
}

// Provision turns the windows into a schedule.
func (m *TimeWindow) Provision(caddy.Context) (err error) {
	m.schedule, m.zones, err = m.read()
	return err
}

// read returns the schedule of the windows, and the zone of each.
func (m *TimeWindow) read() (*window.Schedule, []*time.Location, error) {
	if len(m.Windows) == 0 {
		return nil, nil, errors.New("time_window: no window: want at least one with hours such as 09:00-18:00")
	}
	windows := make([]window.Window, len(m.Windows))
	zones := make([]*time.Location, len(m.Windows))
	for i, w := range m.Windows {
		var err error
		if windows[i], err = window.Parse(window.Spec(w)); err != nil {
			return nil, nil, fmt.Errorf("time_window: %w", meant(err))
		}
		zones[i] = windows[i].Zone
	}
	return window.New(windows...), zones, nil
}

// meant adds similar words to the error for an unknown word.
func meant(err error) error {
	var unknown *window.UnknownError
	if !errors.As(err, &unknown) {
		return err
	}
	if hint := nearest.Hint(unknown.Word, unknown.Known); hint != "" {
		return fmt.Errorf("unknown %s %q: %s", unknown.What, unknown.Word, hint)
	}
	return err
}

// Match reports whether the time is in a window now.
func (m *TimeWindow) Match(*http.Request) bool { return m.schedule.Contains(time.Now()) }

// MatchWithError is Match; it never fails.
func (m *TimeWindow) MatchWithError(r *http.Request) (bool, error) { return m.Match(r), nil }

// Eval implements gate.Rule. It never fails.
func (m *TimeWindow) Eval(now time.Time) (holds bool, next time.Time, err error) {
	holds, next = m.schedule.At(now)
	return holds, next, nil
}

// Describe returns the windows, and the zone in force.
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

// zoneName returns a zone's name as the configuration has it.
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
//		<HH:MM-HH:MM>... [<days>...]
//		zone   <zone>
//		except <date>|<date>..<date> ...
//	}
//
// A line is one window; a block has a line for each, and zone and exceptions of
// all of them. Several lines of the matcher are several windows.
func (m *TimeWindow) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	for d.Next() {
		read, words, nesting := readLine, d.RemainingArgs(), d.Nesting()
		if d.NextBlock(nesting) {
			read = readBlock
		}
		specs, err := read(d, words, nesting)
		if err != nil {
			return d.Errf("time_window: %v", meant(err))
		}
		for _, s := range specs {
			m.Windows = append(m.Windows, Window(s))
		}
	}
	return nil
}

func readLine(_ *caddyfile.Dispenser, words []string, _ int) ([]window.Spec, error) {
	s, err := window.ParseLine(words)
	return []window.Spec{s}, err
}

// readBlock reads the lines of a block; d is at the first word of them.
func readBlock(d *caddyfile.Dispenser, words []string, nesting int) ([]window.Spec, error) {
	if len(words) > 0 {
		return nil, fmt.Errorf("%q beside a block: want it as a line of the block", strings.Join(words, " "))
	}
	var b window.Block
	for more := true; more; more = d.NextBlock(nesting) {
		if err := b.Add(append([]string{d.Val()}, d.RemainingArgs()...)); err != nil {
			return nil, err
		}
		if d.NextBlock(d.Nesting()) {
			return nil, errors.New("a line of the block takes no block of its own")
		}
	}
	return b.Specs()
}

// CELLibrary adds the function time_window("09:00-18:00", "mon-fri", "UTC") to
// expressions. Its strings are the words of a line.
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
