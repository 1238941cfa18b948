package window

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // any zone, also on a machine without a zone database
)

// zoneText has the names that are compiled in, one a line: time/tzdata knows
// them, but does not list them. A test compares them with Go's own archive.
//
//go:embed zones.txt
var zoneText string

// ZoneNames lists the IANA names of the zones.
func ZoneNames() []string { return strings.Fields(zoneText) }

// ParseZone reads the name of a time zone. Empty: local.
func ParseZone(word string) (*time.Location, error) {
	switch {
	case word == "" || strings.EqualFold(word, "local"):
		return time.Local, nil
	case strings.EqualFold(word, "utc"):
		return time.UTC, nil
	}
	name, known := FindZone(word)
	switch {
	case offset(word) && name != word: // Etc/GMT+2 is two hours behind UTC, and its last part would match
		return nil, fmt.Errorf("zone %q: an offset knows no summer time: want an IANA name such as Europe/Berlin, UTC or local", word)
	case known && name != word: // before LoadLocation asks a file system that ignores case
		return nil, &spelling{"zone", word, name}
	}
	if zone, err := time.LoadLocation(word); err == nil && (known || !ofMachine.MatchString(word)) {
		return zone, nil
	}
	return nil, &UnknownError{"zone", word, "an IANA name such as Europe/Berlin, UTC or local", append(ZoneNames(), "local")}
}

// FindZone returns the zone that a word names, also in another spelling
// (europe/berlin, America/New-York) or by its city alone (Tokyo). known is
// false if there is none.
func FindZone(word string) (name string, known bool) {
	zones := zonesByKey()
	if zones[word] == word && word != "" {
		return word, true
	}
	name, known = zones[zoneKey(word)]
	return name, known
}

// zonesByKey has each zone under its name, its key and the key of its city. If
// several zones have the same key, a name goes before a key, a key before a
// city, and an earlier zone before a later one.
var zonesByKey = sync.OnceValue(func() map[string]string {
	zones := make(map[string]string)
	for _, of := range []func(string) string{
		func(name string) string { return name },
		zoneKey,
		func(name string) string { return zoneKey(name[strings.LastIndexByte(name, '/')+1:]) },
	} {
		for _, name := range ZoneNames() {
			if _, taken := zones[of(name)]; !taken {
				zones[of(name)] = name
			}
		}
	}
	return zones
})

// zoneKey returns a zone's name without the marks and capitals that people
// write in different ways.
func zoneKey(word string) string {
	return strings.ToLower(zoneMarks.Replace(word))
}

// ofMachine matches files in a machine's database that are not zones: the
// machine's own zone under other names, and copies with leap seconds.
var ofMachine = regexp.MustCompile(`^(localtime|posixrules|Factory|posix/.*|right/.*)$`)

var zoneMarks = strings.NewReplacer("/", "", `\`, "", "_", "", "-", "", ".", "", " ", "")

// offset reports whether a word is an offset from UTC, such as UTC+9.
func offset(word string) bool {
	word = strings.TrimPrefix(strings.TrimPrefix(strings.ToLower(word), "utc"), "gmt")
	return len(word) > 1 && (word[0] == '+' || word[0] == '-') && strings.Trim(word[1:], "0123456789:") == ""
}
