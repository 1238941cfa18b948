package window

import (
	"archive/zip"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestALineIsOneWindow(t *testing.T) {
	for text, want := range map[string]Spec{
		"09:00-18:00":                                                {Hours: []string{"09:00-18:00"}},
		"09:00-18:00 Asia/Tokyo":                                     {Hours: []string{"09:00-18:00"}, Zone: "Asia/Tokyo"},
		"09:00-18:00 mon-fri utc":                                    {Hours: []string{"09:00-18:00"}, Days: []string{"mon-fri"}, Zone: "utc"},
		"09:00-12:00 13:00-18:00 mon WED":                            {Hours: []string{"09:00-12:00", "13:00-18:00"}, Days: []string{"mon", "WED"}},
		"22:00-06:00 fri-mon NZ-CHAT":                                {Hours: []string{"22:00-06:00"}, Days: []string{"fri-mon"}, Zone: "NZ-CHAT"},
		"22:00-06:00 daily W-SU":                                     {Hours: []string{"22:00-06:00"}, Days: []string{"daily"}, Zone: "W-SU"},
		"09:00-18:00 except 2026-12-24":                              {Hours: []string{"09:00-18:00"}, Except: []string{"2026-12-24"}},
		"09:00-18:00 sun Etc/GMT-9":                                  {Hours: []string{"09:00-18:00"}, Days: []string{"sun"}, Zone: "Etc/GMT-9"},
		"09:00-18:00 local except 2026-12-24..2026-12-26 2027-01-01": {Hours: []string{"09:00-18:00"}, Zone: "local", Except: []string{"2026-12-24..2026-12-26", "2027-01-01"}},
	} {
		got, err := ParseLine(strings.Fields(text))
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) || got.Zone != want.Zone || !slices.Equal(got.Days, want.Days) || !slices.Equal(got.Except, want.Except) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		if got.String() != text {
			t.Errorf("%s becomes the line %s", text, got)
		}
	}
}

func TestALineThatIsWrittenOtherwiseIsRefusedWithWhatWouldBeRight(t *testing.T) {
	const order = "hours, then days, then the zone, then except: want "
	const date = "want a date that exists, as YYYY-MM-DD"
	for text, want := range map[string]string{
		"": "no hours: want at least one HH:MM-HH:MM",

		// the order
		"09:00-18:00 mon-fri 10:00-14:00 sat Europe/Berlin":                 "a line is one window, and these are 2: want a block with the lines `09:00-18:00 mon-fri`, `10:00-14:00 sat`, `zone Europe/Berlin`",
		"mon-fri 09:00-18:00 sat 10:00-14:00 UTC":                           "a line is one window, and these are 2: want a block with the lines `09:00-18:00 mon-fri`, `10:00-14:00 sat`, `zone UTC`",
		"09:00-10:00 mon 10:00-11:00 tue 12:00-13:00 wed except 2026-12-24": "a line is one window, and these are 3: want a block with the lines `09:00-10:00 mon`, `10:00-11:00 tue`, `12:00-13:00 wed`, `except 2026-12-24`",
		"09:00-12:00 mon-fri 13:00-18:00":                                   "a line is one window, and these are 2: want a block with the lines `09:00-12:00 mon-fri`, `13:00-18:00`; or `09:00-12:00 13:00-18:00 mon-fri` for both on these days",
		"09:00-12:00 UTC 13:00-18:00":                                       "a line is one window, and these are 2: want a block with the lines `09:00-12:00`, `13:00-18:00`, `zone UTC`",
		"mon-fri 09:00-18:00":                                               order + "09:00-18:00 mon-fri",
		"weekdays 9-18":                                                     order + "09:00-18:00 mon-fri",
		"UTC 09:00-18:00":                                                   order + "09:00-18:00 UTC",
		"09:00-18:00 UTC mon-fri":                                           order + "09:00-18:00 mon-fri UTC",
		"09:00-18:00 except 2026-12-24 UTC":                                 order + "09:00-18:00 UTC except 2026-12-24",
		"09:00-18:00 except 2026-12-24 mon-fri":                             order + "09:00-18:00 mon-fri except 2026-12-24",
		"09:00-18:00 except 2026-12-24,2026-12-26 UTC":                      order + "09:00-18:00 UTC except 2026-12-24 2026-12-26",
		"except 2026-12-24 09:00-18:00":                                     order + "09:00-18:00 except 2026-12-24",
		"mon-fri UTC":                                                       "no hours: want at least one HH:MM-HH:MM",
		"UTC mon-fri":                                                       "no hours: want at least one HH:MM-HH:MM",
		"09:00-18:00 2026-12-24":                                            `"2026-12-24": dates stand behind except: want except 2026-12-24`,

		// hours
		"09:00 - 18:00":      `hours "09:00 - 18:00": want 09:00-18:00`,
		"09:00 -18:00 sat":   `hours "09:00 -18:00": want 09:00-18:00`,
		"09:00- 18:00":       `hours "09:00- 18:00": want 09:00-18:00`,
		"09:00 18:00":        `hours "09:00 18:00": want 09:00-18:00`,
		"09:00 to 18:00 UTC": `hours "09:00 to 18:00": want 09:00-18:00`,
		"09:00 Until 18:00":  `hours "09:00 Until 18:00": want 09:00-18:00`,
		"09:00..18:00":       `hours "09:00..18:00": want 09:00-18:00`,
		"09:00 ..18:00":      `hours "09:00 ..18:00": want 09:00-18:00`,
		"09:00–18:00":        `hours "09:00–18:00": want 09:00-18:00`,
		"9:00-18:00":         `hours "9:00-18:00": want 09:00-18:00`,
		"24-6":               `hours "24:00-06:00": a window cannot begin at 24:00: want 00:00 of the next day`,
		"9-18 mo-fr":         `hours "9-18": want 09:00-18:00`,
		"9-18":               `hours "9-18": want 09:00-18:00`,
		"0930-1800":          `hours "0930-1800": want 09:30-18:00`,
		"9h-18h30":           `hours "9h-18h30": want 09:00-18:30`,
		"9.30-18.00":         `hours "9.30-18.00": want 09:30-18:00`,
		"9AM-5:30pm":         `hours "9AM-5:30pm": want 09:00-17:30`,
		"12am-12pm":          `hours "12am-12pm": want 00:00-12:00`,
		"1am-11pm":           `hours "1am-11pm": want 01:00-23:00`,
		"24/7":               `hours "24/7": want 00:00-24:00`,
		"0am-5pm":            `hours "0am-5pm": "0am": want HH:MM`,
		"9am-13pm":           `hours "9am-13pm": "9am": want HH:MM`,
		"9am-25":             `hours "9am-25": "9am": want HH:MM`,
		"09:00":              `hours "09:00": want HH:MM-HH:MM`,
		"09:00-":             `hours "09:00-": "": want HH:MM`,
		"09:00-18:60":        `hours "09:00-18:60": "18:60": want 00:00 to 23:59, or 24:00 as an end`,
		"09:000-18:00":       `hours "09:000-18:00": "09:000": want HH:MM`,
		"+09:00-18:00":       `hours "+09:00-18:00": "+09:00": want HH:MM`,

		// days
		"09:00-18:00 mo-fr":           `days "mo-fr": want mon-fri`,
		"09:00-18:00 Monday":          `days "Monday": want mon`,
		"09:00-18:00 mondays":         `days "mondays": want mon`,
		"09:00-18:00 tues,thurs":      `days "tues,thurs": want tue,thu`,
		"09:00-18:00 mon..fri":        `days "mon..fri": want mon-fri`,
		"09:00-18:00 mon;tue":         `days "mon;tue": want mon,tue`,
		"09:00-18:00 mon & tue":       `days "mon & tue": want mon,tue`,
		"09:00-18:00 mon, tue , wed":  `days "mon, tue , wed": want mon,tue,wed`,
		"09:00-18:00 mon ,tue":        `days "mon ,tue": want mon,tue`,
		"09:00-18:00 mon - fri UTC":   `days "mon - fri": want mon-fri`,
		"09:00-18:00 mon through fri": `days "mon through fri": want mon-fri`,
		"09:00-18:00 weekdays":        `days "weekdays": want mon-fri`,
		"09:00-18:00 working days":    `days "working days": want mon-fri`,
		"09:00-18:00 weekend":         `days "weekend": want sat,sun`,
		"09:00-18:00 everyday":        `days "everyday": want daily`,
		"09:00-18:00 sat,":            `days "sat,": want sat`,
		"09:00-18:00 mon-frj":         `unknown days "mon-frj": want mon, tue, wed, thu, fri, sat, sun, a range such as mon-fri, a list such as sat,sun, or daily`,

		// the zone
		"09:00-18:00 europe/berlin":       `zone "europe/berlin": want Europe/Berlin`,
		"09:00-18:00 America/New-York":    `zone "America/New-York": want America/New_York`,
		"09:00-18:00 America/New York":    `zone "America/New York": want America/New_York`,
		"09:00-18:00 New York":            `zone "New York": want America/New_York`,
		`09:00-18:00 asia\tokyo`:          `zone "asia\\tokyo": want Asia/Tokyo`,
		"09:00-18:00 Tokyo":               `zone "Tokyo": want Asia/Tokyo`,
		"09:00-18:00 monaco":              `zone "monaco": want Europe/Monaco`,
		"09:00-18:00 Asia/Tokio":          `unknown zone "Asia/Tokio": want an IANA name such as Europe/Berlin, UTC or local`,
		"09:00-18:00 UTC+9":               `zone "UTC+9": an offset knows no summer time: want an IANA name such as Europe/Berlin, UTC or local`,
		"09:00-18:00 GMT-05:30":           `zone "GMT-05:30": an offset knows no summer time: want an IANA name such as Europe/Berlin, UTC or local`,
		"09:00-18:00 +09:00":              `zone "+09:00": an offset knows no summer time: want an IANA name such as Europe/Berlin, UTC or local`,
		"09:00-18:00 mon -3":              `zone "-3": an offset knows no summer time: want an IANA name such as Europe/Berlin, UTC or local`,
		"09:00-18:00 UTC Asia/Tokyo":      `"Asia/Tokyo": the zone is "UTC" already; want hours, days, one zone, and except`,
		"09:00-18:00 Europe/Paris London": `"Europe/London": the zone is "Europe/Paris" already; want hours, days, one zone, and except`,

		// except
		"09:00-18:00 except":                                "except without a date: want YYYY-MM-DD or YYYY-MM-DD..YYYY-MM-DD",
		"09:00-18:00 Except 2026-12-24":                     `word "Except": want except`,
		"09:00-18:00 except 2026-12-24 except 2026-12-25":   "except is given twice: name all dates after one",
		"09:00-18:00 except 24.12.2026":                     `except "24.12.2026": want 2026-12-24`,
		"09:00-18:00 except 2026/12/24":                     `except "2026/12/24": want 2026-12-24`,
		"09:00-18:00 except 2026-12-24-2026-12-26":          `except "2026-12-24-2026-12-26": want 2026-12-24..2026-12-26`,
		"09:00-18:00 except 2026-12-24 - 2026-12-26":        `except "2026-12-24 - 2026-12-26": want 2026-12-24..2026-12-26`,
		"09:00-18:00 except 2026-12-24 ..2026-12-26":        `except "2026-12-24 ..2026-12-26": want 2026-12-24..2026-12-26`,
		"09:00-18:00 except 2026-12-24,2026-12-26":          `except "2026-12-24,2026-12-26": want 2026-12-24 2026-12-26`,
		"09:00-18:00 except 2026-12-24, 2026-12-26":         `except "2026-12-24, 2026-12-26": want 2026-12-24 2026-12-26`,
		"09:00-18:00 except 2026-12-24x2026-12-26":          `except "2026-12-24x2026-12-26": ` + date,
		"09:00-18:00 except 12-24":                          `except "12-24": ` + date,
		"09:00-18:00 except christmas":                      `except "christmas": ` + date,
		"09:00-18:00 except 2026-02-30":                     `except "2026-02-30": ` + date,
		"09:00-18:00 except 2026-12-26..2026-12-24":         `except "2026-12-26..2026-12-24": ends before it begins: want 2026-12-24..2026-12-26`,
		"09:00-18:00 mon-fri except 2026-12-24 10:00-11:00": "a line is one window, and these are 2: want a block with the lines `09:00-18:00 mon-fri`, `10:00-11:00`, `except 2026-12-24`; or `09:00-18:00 10:00-11:00 mon-fri` for both on these days",
	} {
		if s, err := ParseLine(strings.Fields(text)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, %v\nwant %s", text, s, err, want)
		}
	}
}

func TestWordsInQuotesAreRefused(t *testing.T) {
	for word, want := range map[string]string{
		"":                    "an empty word: want hours, days, a zone, and except",
		"09:00-18:00 mon-fri": `"09:00-18:00 mon-fri": these are several words: want them without quotes`,
		"09:00 - 18:00":       `hours "09:00 - 18:00": want 09:00-18:00`,
		"09:00\t-\t18:00":     `hours "09:00\t-\t18:00": want 09:00-18:00`,
	} {
		if _, err := ParseLine([]string{word}); err == nil || err.Error() != want {
			t.Errorf("%q: %v", word, err)
		}
	}
}

// block parses lines as a block.
func block(lines ...string) ([]Spec, error) {
	var b Block
	for _, l := range lines {
		if err := b.Add(strings.Fields(l)); err != nil {
			return nil, err
		}
	}
	return b.Specs()
}

func TestABlockHasALineForEachWindow(t *testing.T) {
	specs, err := block("09:00-18:00 mon-fri", "10:00-12:00 14:00-15:00 sat", "zone Asia/Tokyo", "except 2026-12-24 2026-12-30..2027-01-03")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"09:00-18:00 mon-fri Asia/Tokyo except 2026-12-24 2026-12-30..2027-01-03",
		"10:00-12:00 14:00-15:00 sat Asia/Tokyo except 2026-12-24 2026-12-30..2027-01-03",
	}
	if len(specs) != 2 || specs[0].String() != want[0] || specs[1].String() != want[1] {
		t.Errorf("got %v", specs)
	}
	if specs, err := block("except 2026-12-24", "09:00-18:00"); err != nil || len(specs) != 1 || specs[0].String() != "09:00-18:00 except 2026-12-24" {
		t.Errorf("got %v, %v", specs, err)
	}
}

func TestABlockThatIsWrittenOtherwiseIsRefusedWithWhatWouldBeRight(t *testing.T) {
	const none = "no window: want a line that begins with hours such as 09:00-18:00"
	for _, tt := range []struct {
		lines []string
		want  string
	}{
		{nil, none},
		{[]string{"zone UTC", "except 2026-12-24"}, none},
		{[]string{"09:00-18:00 mon-fri UTC"}, `"UTC": in a block the zone is a line of its own, for all windows: want zone UTC`},
		{[]string{"09:00-18:00 except 2026-12-24 2026-12-25"}, "except: in a block it is a line of its own, for all windows: want except 2026-12-24 2026-12-25"},
		{[]string{"mon-fri 09:00-18:00"}, "hours, then days, then the zone, then except: want 09:00-18:00 mon-fri"},
		{[]string{"09:00-18:00 mon 10:00-11:00 tue"}, "a line is one window, and these are 2: want a block with the lines `09:00-18:00 mon`, `10:00-11:00 tue`"},
		{[]string{"mon-fri"}, "no hours: want at least one HH:MM-HH:MM"},
		{[]string{"UTC"}, `"UTC": want zone UTC`},
		{[]string{"Asia/Tokyo sat"}, "no hours: want at least one HH:MM-HH:MM"},
		{[]string{"europe/berlin"}, `"europe/berlin": want zone Europe/Berlin`},
		{[]string{"hours 09:00-18:00"}, "hours: a window is one line, its hours and then its days, without the words hours and days: want a line such as 09:00-18:00 mon-fri"},
		{[]string{"days mon"}, "days: a window is one line, its hours and then its days, without the words hours and days: want a line such as 09:00-18:00 mon-fri"},
		{[]string{"zone"}, "zone: want one name such as Europe/Berlin, UTC or local"},
		{[]string{"zone UTC local"}, "zone: want one name such as Europe/Berlin, UTC or local"},
		{[]string{"zone New York"}, `zone "New York": want America/New_York`},
		{[]string{"zone asia/tokyo"}, `zone "asia/tokyo": want Asia/Tokyo`},
		{[]string{"zone UTC", "zone UTC"}, "zone is given twice: it holds for all windows of the block"},
		{[]string{"except"}, "except without a date: want YYYY-MM-DD or YYYY-MM-DD..YYYY-MM-DD"},
		{[]string{"except mon"}, `except "mon": want a date that exists, as YYYY-MM-DD`},
		{[]string{"except 2026-12-24 UTC"}, `except "UTC": want a date that exists, as YYYY-MM-DD`},
		{[]string{"except 2026-12-24 - 2026-12-26"}, `except "2026-12-24 - 2026-12-26": want 2026-12-24..2026-12-26`},
		{[]string{"except 2026-12-24", "except 2026-12-25"}, "except is given twice: put all dates on one line"},
		{[]string{"timezone UTC"}, `word "timezone": want zone`},
		{[]string{"Exclude 2026-12-24"}, `word "Exclude": want except`},
		{[]string{"weeks 12"}, `unknown word "weeks": want a line that begins with hours such as 09:00-18:00, zone, or except`},
		{[]string{"09:00-18:00 Asia/Tokio"}, `unknown zone "Asia/Tokio": want an IANA name such as Europe/Berlin, UTC or local`},
	} {
		if specs, err := block(tt.lines...); err == nil || err.Error() != tt.want {
			t.Errorf("%q: %v, %v\nwant %s", tt.lines, specs, err, tt.want)
		}
	}
	if err := new(Block).Add([]string{"zone", ""}); err == nil {
		t.Error("an empty zone is taken")
	}
}

func TestAnUnknownWordSaysWhichAreKnown(t *testing.T) {
	for text, want := range map[string]string{"09:00-18:00 Asia/Tokio": "Asia/Tokyo", "09:00-18:00 lokal": "local", "09:00-18:00 mon-frj": "mon-fri", "09:00-18:00 mon,dayly": "daily"} {
		_, err := ParseLine(strings.Fields(text))
		var unknown *UnknownError
		if !errors.As(err, &unknown) || !slices.Contains(unknown.Known, want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestAllZonesThatAreCompiledInAreKnown(t *testing.T) {
	names := ZoneNames()
	for _, name := range names {
		if zone, err := ParseZone(name); err != nil || zone.String() != name {
			t.Errorf("%s: %v, %v", name, zone, err)
		}
		if found, known := FindZone(name); !known || found != name {
			t.Errorf("%s is found as %s", name, found)
		}
		if found, known := FindZone(strings.ToLower(name)); !known || !strings.EqualFold(zoneKey(found), zoneKey(name)) {
			t.Errorf("%s is found as %s", strings.ToLower(name), found)
		}
	}
	for _, word := range []string{"", "local", "LOCAL"} {
		if zone, err := ParseZone(word); err != nil || zone != time.Local {
			t.Errorf("%q: %v, %v", word, zone, err)
		}
	}
	archive, err := zip.OpenReader(filepath.Join(runtime.GOROOT(), "lib", "time", "zoneinfo.zip")) //nolint:staticcheck // the Go that tests has its archive there
	if err != nil {
		t.Skip("this Go comes without its archive of zones")
	}
	defer archive.Close()
	var there []string
	for _, f := range archive.File {
		if !f.FileInfo().IsDir() {
			there = append(there, f.Name)
		}
	}
	if slices.Sort(there); !slices.Equal(there, names) {
		t.Errorf("zones.txt has %d names, and Go %d: write it anew with `unzip -Z1 $(go env GOROOT)/lib/time/zoneinfo.zip | grep -v '/$' | LC_ALL=C sort`", len(names), len(there))
	}
}

func TestTogether(t *testing.T) {
	term := func(not bool, words string) Term {
		s, err := ParseLine(strings.Fields(words))
		if err != nil {
			t.Fatal(err)
		}
		return Term{parse(t, s), not}
	}
	now := at(t, "UTC", "2026-11-24 10:00:00")
	for _, tt := range []struct {
		name  string
		want  bool
		terms []Term
	}{
		{"nothing is asked", true, nil},
		{"one that holds", true, []Term{term(false, "09:00-18:00 UTC")}},
		{"one that will", true, []Term{term(false, "11:00-18:00 sun UTC")}},
		{"morning and afternoon never meet", false, []Term{term(false, "09:00-12:00 UTC"), term(false, "13:00-18:00 UTC")}},
		{"one that ends when the other begins", false, []Term{term(false, "09:00-12:00 UTC"), term(false, "12:00-18:00 UTC")}},
		{"a minute in common", true, []Term{term(false, "09:00-12:01 UTC"), term(false, "12:00-18:00 UTC")}},
		{"days that never meet", false, []Term{term(false, "09:00-18:00 mon-fri UTC"), term(false, "09:00-18:00 sat,sun UTC")}},
		{"a night runs into the next day", true, []Term{term(false, "22:00-06:00 fri UTC"), term(false, "00:00-24:00 sat UTC")}},
		{"zones that never meet", false, []Term{term(false, "09:00-11:00 Asia/Tokyo"), term(false, "09:00-11:00 America/New_York")}},
		{"zones that meet", true, []Term{term(false, "09:00-18:00 Asia/Tokyo"), term(false, "09:00-18:00 Europe/Berlin")}},
		{"a window and its contrary", false, []Term{term(false, "09:00-18:00 UTC"), term(true, "09:00-18:00 UTC")}},
		{"a window without its lunch", true, []Term{term(false, "09:00-18:00 UTC"), term(true, "12:00-13:00 UTC")}},
		{"never not", false, []Term{term(true, "00:00-24:00 UTC")}},
		{"excepted for longer than two years", false, []Term{term(false, "09:00-18:00 UTC except 2026-01-01..2030-01-01")}},
		{"excepted for a year and a half", true, []Term{term(false, "09:00-18:00 UTC except 2026-01-01..2028-06-01"), term(false, "17:00-24:00 sun UTC")}},
		{"of three, two never meet", false, []Term{term(false, "00:00-24:00 UTC"), term(false, "09:00-10:00 mon UTC"), term(false, "09:00-10:00 tue UTC")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Together(now, tt.terms...); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func FuzzLine(f *testing.F) {
	for _, seed := range []string{"09:00-18:00 mon-fri UTC except 2026-12-24", "09:00 - 18:00", "mo-fr 9-18", "- to ,", "09:00-18:00 mon 10:00-11:00 tue", "+ -", "2026-12-24,2026-12-25", "0.-0", "", "zone  UTC"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		words := strings.Split(text, " ") // empty ones among them
		s, err := ParseLine(words)
		switch {
		case err != nil && err.Error() == "":
			t.Errorf("%q is refused without a word", text)
		case err == nil && s.String() != strings.Join(words, " "):
			t.Errorf("%q is read as %q", text, s)
		}
		if err := new(Block).Add(words); err != nil && err.Error() == "" {
			t.Errorf("%q is refused in a block without a word", text)
		}
	})
}

func TestWhatIsAlmostRightIsNotTaken(t *testing.T) {
	for word, want := range map[string]string{
		"-18:00":      `hours "-18:00": "": want HH:MM`,
		"09:00-23:59": "<nil>",
		"23:59-24:00": "<nil>",
		"00:00-00:01": "<nil>",
		"00:00-00:00": `hours "00:00-00:00": begins and ends at the same time: for the whole day want 00:00-24:00`,
		"24:00-24:00": `hours "24:00-24:00": a window cannot begin at 24:00: want 00:00 of the next day`,
		"09:00-24:01": `hours "09:00-24:01": "24:01": want 00:00 to 23:59, or 24:00 as an end`,
	} {
		if _, err := ParseSpan(word); fmt.Sprint(err) != want {
			t.Errorf("%s: %v, want %s", word, err, want)
		}
	}
	for _, word := range []string{"", ",", "-", "mon-", "-fri", "m-f", "mon1", "x", "mon-fri-"} {
		if right, ok := mendDays(word); ok {
			t.Errorf("%q is taken for the days %s", word, right)
		}
	}
	for _, word := range []string{"", "-", "9-", "-18", "9", "9-18-20", "9:0-18:00", "99-100", "1pm"} {
		if right, ok := mendSpan(word); ok {
			t.Errorf("%q is taken for the hours %s", word, right)
		}
	}
	for _, word := range []string{"", "2026-12-242026-12-26", "12/24/2026", "2026-13-01", "2026-12-24..", "..2026-12-24"} {
		if right, ok := mendDates(word); ok {
			t.Errorf("%q is taken for the date %s", word, right)
		}
	}
	for _, word := range []string{"", "+", "-", "utc", "gmt", "9", "+9h", "utc+", "x+9"} {
		if offset(word) {
			t.Errorf("%q is taken for an offset", word)
		}
	}
}

func TestASpanThatEndsWhenItBeginsIsADay(t *testing.T) {
	w := Window{Spans: []Span{{540, 540}}, Days: [7]bool{time.Monday: true}, Zone: time.UTC}
	if v := w.on(Date{2026, 11, 23}, nil); len(v) != 1 || v[0].to.Sub(v[0].from) != 24*time.Hour {
		t.Errorf("got %v", v)
	}
}

func TestTheDaysThatAreLookedAt(t *testing.T) {
	now := at(t, "UTC", "2026-01-01 12:00:00")
	for name, spec := range map[string]Spec{"always": {Hours: []string{"00:00-24:00"}}, "never": {Hours: []string{"00:00-24:00"}, Except: []string{"2000-01-01..2100-01-01"}}} {
		spec.Zone = "UTC"
		end, sure := parse(t, spec).sweep(now, name == "always")
		if want := at(t, "UTC", "2026-01-01 00:00:00").AddDate(0, 0, lookAhead+1); sure || !end.Equal(want) {
			t.Errorf("%s: until %s, want %s", name, end, want)
		}
	}
}

func TestOffsetsAndFilesOfAMachineAreNoZones(t *testing.T) {
	for _, word := range []string{"GMT+2", "gmt-3", "UTC+9", "+01:00", "localtime", "posixrules", "right/UTC", "posix/Europe/Berlin"} {
		if zone, err := ParseZone(word); err == nil {
			t.Errorf("%s is taken for %s", word, zone)
		} else if strings.Contains(err.Error(), "Etc/") {
			t.Errorf("%s: %v: Etc/GMT+2 is two hours behind", word, err)
		}
	}
	for _, word := range []string{"Etc/GMT+2", "GMT+0", "GMT", "Europe/Berlin", "local", "UTC"} {
		if _, err := ParseZone(word); err != nil {
			t.Errorf("%s: %v", word, err)
		}
	}
}
