package window

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Spec is a window in words, as a configuration has it.
type Spec struct {
	// Hours are spans HH:MM-HH:MM. At least one.
	Hours []string
	// Days are words such as mon-fri, "sat,sun" or daily. None: daily.
	Days []string
	// Zone is an IANA name, UTC or local. Empty: local.
	Zone string
	// Except are dates (2026-12-24) or ranges of dates
	// (2026-12-24..2027-01-01). None: no exceptions.
	Except []string
}

// Parse turns words into a window. An error names the word, and says what would
// be right.
func Parse(s Spec) (Window, error) {
	var w Window
	if len(s.Hours) == 0 {
		return w, errors.New("no hours: want at least one HH:MM-HH:MM")
	}
	for _, word := range s.Hours {
		span, err := ParseSpan(word)
		if err != nil {
			return w, err
		}
		w.Spans = append(w.Spans, span)
	}
	if len(s.Days) == 0 {
		s.Days = []string{"daily"}
	}
	for _, word := range s.Days {
		if err := addDays(&w.Days, word); err != nil {
			return w, err
		}
	}
	var err error
	if w.Zone, err = ParseZone(s.Zone); err != nil {
		return w, err
	}
	for _, word := range s.Except {
		r, err := ParseDates(word)
		if err != nil {
			return w, err
		}
		w.Except = append(w.Except, r)
	}
	return w, nil
}

// ParseSpan reads HH:MM-HH:MM. It refuses a span that begins at 24:00, and one
// that begins and ends at the same time.
func ParseSpan(word string) (Span, error) {
	var s Span
	from, to, ranged := strings.Cut(word, "-")
	var err error
	if s.From, err = minutes(from); err == nil {
		s.To, err = minutes(to)
	}
	if right, ok := mendSpan(word); ok && right != word {
		return s, &spelling{"hours", word, right}
	}
	if !ranged {
		return s, fmt.Errorf("hours %q: want HH:MM-HH:MM", word)
	}
	if err != nil {
		return s, fmt.Errorf("hours %q: %w", word, err)
	}
	if s.From == 24*60 {
		return s, fmt.Errorf("hours %q: a window cannot begin at 24:00: want 00:00 of the next day", word)
	}
	if s.From == s.To {
		return s, fmt.Errorf("hours %q: begins and ends at the same time: for the whole day want 00:00-24:00", word)
	}
	return s, nil
}

func minutes(word string) (int, error) {
	h, m, ok := strings.Cut(word, ":")
	if !ok || len(h) != 2 || len(m) != 2 {
		return 0, fmt.Errorf("%q: want HH:MM", word)
	}
	hour, errH := strconv.ParseUint(h, 10, 8)
	minute, errM := strconv.ParseUint(m, 10, 8)
	if errH != nil || errM != nil || h[0] == '+' || m[0] == '+' {
		return 0, fmt.Errorf("%q: want HH:MM", word)
	}
	if minute > 59 || hour > 24 || hour == 24 && minute > 0 {
		return 0, fmt.Errorf("%q: want 00:00 to 23:59, or 24:00 as an end", word)
	}
	return int(hour*60 + minute), nil
}

var dayNames = [7]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func dayOf(word string) (int, bool) {
	for i, name := range dayNames {
		if strings.EqualFold(word, name) {
			return i, true
		}
	}
	return 0, false
}

// addDays adds the days that a word such as mon-fri or "sat,sun" names.
func addDays(days *[7]bool, word string) error {
	if strings.EqualFold(word, "daily") {
		*days = [7]bool{true, true, true, true, true, true, true}
		return nil
	}
	for part := range strings.SplitSeq(word, ",") {
		from, to, ranged := strings.Cut(part, "-")
		first, ok := dayOf(from)
		last := first
		if ok && ranged {
			last, ok = dayOf(to)
		}
		if !ok {
			if right, mended := mendDays(word); mended {
				return &spelling{"days", word, right}
			}
			return &UnknownError{"days", word, "mon, tue, wed, thu, fri, sat, sun, a range such as mon-fri, a list such as sat,sun, or daily", append(dayNames[:], "mon-fri", "daily")}
		}
		for d := first; ; d = (d + 1) % 7 {
			days[d] = true
			if d == last {
				break
			}
		}
	}
	return nil
}

// ParseDates reads a date or a range of dates. It refuses a range that ends
// before it begins.
func ParseDates(word string) (DateRange, error) {
	from, to, ranged := strings.Cut(word, "..")
	var r DateRange
	var err error
	r.From, err = parseDate(from)
	if r.To = r.From; err == nil && ranged {
		r.To, err = parseDate(to)
	}
	if right, ok := mendDates(word); err != nil && ok {
		return r, &spelling{"except", word, right}
	}
	if err != nil {
		return r, err
	}
	if r.To.before(r.From) {
		return r, fmt.Errorf("except %q: ends before it begins: want %s..%s", word, to, from)
	}
	return r, nil
}

func parseDate(word string) (Date, error) {
	t, err := time.Parse("2006-01-02", word)
	if err != nil {
		return Date{}, fmt.Errorf("except %q: want a date that exists, as YYYY-MM-DD", word)
	}
	return dateOf(t), nil
}
