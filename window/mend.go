package window

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// UnknownError is the error for a word that cannot stand in its place.
type UnknownError struct {
	What, Word string
	// Want says what could stand there.
	Want string
	// Known are the words that could stand there.
	Known []string
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("unknown %s %q: want %s", e.What, e.Word, e.Want)
}

// spelling is the error for a word with a clear meaning and a wrong spelling.
type spelling struct{ what, word, right string }

func (e *spelling) Error() string { return fmt.Sprintf("%s %q: want %s", e.what, e.word, e.right) }

// clocks matches the ways in which people write a time of the day.
var clocks = regexp.MustCompile(`^(\d{1,2})(?:[:.h]?(\d{2}))?(am|pm|h)?$`)

// mendClock changes a time of the day to the form HH:MM.
func mendClock(word string) (string, bool) {
	found := clocks.FindStringSubmatch(strings.ToLower(word))
	if found == nil {
		return "", false
	}
	hour, _ := strconv.Atoi(found[1])
	minute, _ := strconv.Atoi(found[2]) // none: 0
	if found[3] == "am" || found[3] == "pm" {
		if hour < 1 || hour > 12 {
			return "", false
		}
		if hour %= 12; found[3] == "pm" {
			hour += 12
		}
	}
	mended := fmt.Sprintf("%02d:%02d", hour, minute)
	_, err := minutes(mended)
	return mended, err == nil
}

// mendSpan changes hours to the form HH:MM-HH:MM.
func mendSpan(word string) (string, bool) {
	if word == "24/7" {
		return "00:00-24:00", true
	}
	from, to, _ := strings.Cut(dashes.Replace(word), "-")
	from, okFrom := mendClock(from)
	to, okTo := mendClock(to)
	return from + "-" + to, okFrom && okTo
}

// dashes replaces the marks that people write between the ends of a range.
var dashes = strings.NewReplacer("–", "-", "—", "-", "..", "-")

// fullNames are the full names of the days.
var fullNames = [7]string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

// dayWords maps the words for several days to the form mon-fri.
var dayWords = map[string]string{
	"weekday": "mon-fri", "weekdays": "mon-fri", "workday": "mon-fri", "workdays": "mon-fri", "workingdays": "mon-fri",
	"weekend": "sat,sun", "weekends": "sat,sun",
	"daily": "daily", "everyday": "daily", "all": "daily", "any": "daily", "always": "daily", "*": "daily",
}

// mendDays changes days to the form mon-fri or sat,sun.
func mendDays(word string) (string, bool) {
	word = strings.ToLower(word)
	if days, known := dayWords[word]; known {
		return days, true
	}
	var list []string
	for part := range strings.SplitSeq(lists.Replace(word), ",") {
		if part == "" {
			continue // an extra comma
		}
		from, to, ranged := strings.Cut(dashes.Replace(part), "-")
		from, okFrom := mendDay(from)
		if !ranged {
			to = from
		}
		to, okTo := mendDay(to)
		switch {
		case !okFrom || !okTo:
			return "", false
		case ranged:
			from += "-" + to
		}
		list = append(list, from)
	}
	return strings.Join(list, ","), len(list) > 0
}

// lists replaces the marks that people write between the parts of a list.
var lists = strings.NewReplacer(";", ",", "&", ",", "+", ",", "|", ",", "/", ",")

// mendDay finds the day that a word begins with, or is the beginning of.
func mendDay(word string) (string, bool) {
	for i, full := range fullNames {
		if len(word) >= 2 && (strings.HasPrefix(full, word) || strings.HasPrefix(word, dayNames[i]) && strings.Trim(word, "abcdefghijklmnopqrstuvwxyz") == "") {
			return dayNames[i], true
		}
	}
	return "", false
}

// mendDates changes a date or a range to the form YYYY-MM-DD..YYYY-MM-DD.
func mendDates(word string) (string, bool) {
	if pair := datePair.FindStringSubmatch(word); pair != nil {
		from, okFrom := mendDates(pair[1])
		to, okTo := mendDates(pair[3])
		between := ".."
		if strings.ContainsAny(pair[2], ",;") {
			between = " "
		}
		return from + between + to, okFrom && okTo
	}
	if day := germanDate.FindStringSubmatch(word); day != nil {
		word = day[3] + "-" + day[2] + "-" + day[1]
	}
	word = strings.NewReplacer("/", "-", ".", "-").Replace(word)
	_, err := parseDate(word)
	return word, err == nil
}

// datePair matches two dates with something between them.
var datePair = regexp.MustCompile(`^(\S{10})([-–—/:,;]|\.{2,3}|, )(\S{10})$`)

// germanDate matches a date with the day first. With slashes, the month could
// be first.
var germanDate = regexp.MustCompile(`^(\d{2})\.(\d{2})\.(\d{4})$`)
