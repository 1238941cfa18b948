package window

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// kind is the kind of a word in a line. The constants are in the order of the
// words.
type kind int

const (
	hours kind = iota
	days
	zone
	except
)

// kindOf guesses the kind of a word from its form. The word is not empty.
func kindOf(word string) kind {
	if _, ok := mendDates(word); ok && strings.ContainsAny(word, "-./") && !strings.ContainsRune(word, ':') {
		return except
	}
	if strings.ContainsRune("0123456789", rune(word[0])) || strings.ContainsRune("+-", rune(word[0])) && !offset(word) {
		return hours
	}
	parts := strings.FieldsFunc(word, func(r rune) bool { return r == ',' || r == '-' })
	if slices.ContainsFunc(parts, func(part string) bool { _, ok := dayOf(part); return ok }) {
		return days
	}
	if _, known := FindZone(word); known {
		return zone
	}
	if _, ok := mendDays(word); ok {
		return days
	}
	return zone
}

// ParseLine reads the words of one window: hours, then days, then a zone, then
// except and dates. It refuses words in another order, and the words of several
// windows. The error says what would be right.
func ParseLine(words []string) (Spec, error) {
	if err := apart(words); err != nil {
		return Spec{}, err
	}
	var l line
	for _, word := range words {
		if err := l.add(word); err != nil {
			return Spec{}, err
		}
	}
	s, err := l.spec()
	if err != nil {
		return Spec{}, err
	}
	_, err = Parse(s)
	return s, err
}

// errEmpty is the error for a word that is only a pair of quotes.
var errEmpty = errors.New("an empty word: want hours, days, a zone, and except")

// apart refuses words that are empty, that hold several words, or that together
// are one thing written with spaces, such as 09:00 - 18:00.
func apart(words []string) error {
	if slices.Contains(words, "") {
		return errEmpty
	}
	for i, word := range words {
		if strings.ContainsAny(word, " \t\r\n") {
			if right, ok := mendSpan(strings.Join(strings.Fields(word), "")); ok {
				return &spelling{"hours", word, right}
			}
			return fmt.Errorf("%q: these are several words: want them without quotes", word)
		}
		if err := glue(words[i:]); err != nil {
			return err
		}
	}
	return nil
}

// joints are the words that people write between the ends of a range, or
// between two items.
var joints = map[string]string{
	"-": "-", "–": "-", "—": "-", "..": "-", "to": "-", "till": "-", "until": "-", "through": "-",
	",": ",", "and": ",", "&": ",",
}

// glue refuses words that form one thing together: the first word and those
// after it.
func glue(words []string) error {
	text, n := words[0], 1
	for n < len(words) {
		joint, lone := joints[strings.ToLower(words[n])]
		if lone && n+1 < len(words) {
			text += joint + words[n+1]
			n += 2
			continue
		}
		if !meet(text, words[n]) {
			break
		}
		text += words[n]
		n++
	}
	if n == 1 && len(words) > 1 {
		return gluePair(words[0], words[1])
	}
	return glued(text, words[:n])
}

// meet reports whether a mark ends the first of two words or begins the second.
func meet(a, b string) bool {
	for _, mark := range []string{"-", ",", ".."} {
		if strings.HasSuffix(a, mark) || strings.HasPrefix(b, mark) {
			return true
		}
	}
	return false
}

// glued says how to write the thing that several words make up.
func glued(text string, words []string) error {
	if len(words) == 1 {
		return nil
	}
	for _, t := range []struct {
		what string
		mend func(string) (string, bool)
	}{{"hours", mendSpan}, {"days", mendDays}, {"except", mendDates}} {
		if right, ok := t.mend(text); ok {
			return &spelling{t.what, strings.Join(words, " "), right}
		}
	}
	return nil
}

// gluePair checks two words without a mark between them: two times, or the name
// of days or of a zone with a space in it.
func gluePair(a, b string) error {
	both := a + " " + b
	if strings.Contains(a, ":") && strings.Contains(b, ":") {
		if right, ok := mendSpan(a + "-" + b); ok {
			return &spelling{"hours", both, right}
		}
	}
	if right, ok := dayWords[strings.ToLower(a+b)]; ok {
		return &spelling{"days", both, right}
	}
	_, knownA := FindZone(a)
	_, knownB := FindZone(b)
	if name, known := FindZone(both); known && (!knownA || !knownB) && kindOf(a) == zone {
		return &spelling{"zone", both, name}
	}
	return nil
}

// line holds the words of a line, sorted by kind.
type line struct {
	windows []Spec // their hours and days
	zones   []string
	dates   []string

	last    kind
	misfit  bool  // a word came after one that it should come before
	wrong   error // the error about the first word with a wrong spelling
	excepts bool  // the word except was read
}

// add puts one word into the line.
func (l *line) add(word string) error {
	if word == "except" {
		if l.excepts {
			return errors.New("except is given twice: name all dates after one")
		}
		l.excepts, l.last = true, except
		return nil
	}
	if strings.EqualFold(word, "except") {
		return &spelling{"word", word, "except"}
	}
	k := kindOf(word)
	if k == except && !l.excepts {
		return fmt.Errorf("%q: dates stand behind except: want except %s", word, word)
	}
	if l.excepts && k != except && !l.follows(k, word) {
		k = except // probably meant as a date
	}
	l.misfit = l.misfit || k < l.last
	err := l.sort(k, word)
	l.last = k
	var s *spelling
	if !errors.As(err, &s) {
		return err
	}
	if l.wrong == nil {
		l.wrong = err
	}
	for _, right := range strings.Fields(s.right) {
		if err := l.sort(k, right); err != nil {
			return err
		}
	}
	return nil
}

// follows reports whether a word after except is surely not a date.
func (*line) follows(k kind, word string) bool {
	switch k {
	case hours:
		return strings.Contains(word, ":")
	case zone:
		_, err := ParseZone(word)
		return err == nil
	}
	return true
}

// sort puts a word into the field for its kind, if it is valid there.
func (l *line) sort(k kind, word string) (err error) {
	switch k {
	case hours:
		if _, err = ParseSpan(word); err == nil {
			w := l.window(k)
			w.Hours = append(w.Hours, word)
		}
	case days:
		if err = addDays(new([7]bool), word); err == nil {
			w := l.window(k)
			w.Days = append(w.Days, word)
		}
	case zone:
		if _, err = ParseZone(word); err == nil {
			l.zones = append(l.zones, word)
		}
	case except:
		if _, err = ParseDates(word); err == nil {
			l.dates = append(l.dates, word)
		}
	}
	return err
}

// window returns the window that the next hours or days belong to. It is a new
// one if the last window already has both, or if a new group of hours begins.
func (l *line) window(k kind) *Spec {
	n := len(l.windows)
	if n == 0 || l.last != k && (k == hours && len(l.windows[n-1].Hours) > 0 || len(l.windows[n-1].Hours) > 0 && len(l.windows[n-1].Days) > 0) {
		l.windows = append(l.windows, Spec{})
		n++
	}
	return &l.windows[n-1]
}

var errNoDate = errors.New("except without a date: want YYYY-MM-DD or YYYY-MM-DD..YYYY-MM-DD")

// spec returns the window of the line, or an error that says how to write it.
func (l *line) spec() (Spec, error) {
	if l.excepts && len(l.dates) == 0 {
		return Spec{}, errNoDate
	}
	if len(l.zones) > 1 {
		return Spec{}, fmt.Errorf("%q: the zone is %q already; want hours, days, one zone, and except", l.zones[1], l.zones[0])
	}
	if len(l.windows) > 1 {
		return Spec{}, errors.New(l.block())
	}
	var s Spec
	if len(l.windows) == 1 {
		s = l.windows[0]
	}
	if len(l.zones) == 1 {
		s.Zone = l.zones[0]
	}
	s.Except = l.dates
	if l.misfit && len(s.Hours) > 0 {
		return Spec{}, fmt.Errorf("hours, then days, then the zone, then except: want %s", s)
	}
	return s, l.wrong
}

// String returns the window as a line of the configuration.
func (s Spec) String() string {
	words := slices.Concat(s.Hours, s.Days)
	if s.Zone != "" {
		words = append(words, s.Zone)
	}
	if len(s.Except) > 0 {
		words = append(append(words, "except"), s.Except...)
	}
	return strings.Join(words, " ")
}

// block says how to write several windows.
func (l *line) block() string {
	var lines []string
	for _, w := range l.windows {
		lines = append(lines, w.String())
	}
	for _, z := range l.zones {
		lines = append(lines, "zone "+z)
	}
	if len(l.dates) > 0 {
		lines = append(lines, "except "+strings.Join(l.dates, " "))
	}
	text := fmt.Sprintf("a line is one window, and these are %d: want a block with the lines `%s`", len(l.windows), strings.Join(lines, "`, `"))
	if len(l.windows) == 2 && len(l.windows[1].Days) == 0 && len(l.windows[0].Days) > 0 {
		both := Spec{Hours: slices.Concat(l.windows[0].Hours, l.windows[1].Hours), Days: l.windows[0].Days}
		text += fmt.Sprintf("; or `%s` for both on these days", both)
	}
	return text
}
