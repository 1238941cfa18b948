// Package words parses what the words of a Caddyfile have in common: durations,
// names, the end of a line, and words that may occur only once. The packages
// that own words use it.
package words

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/wsgate/wsgate/gate"
)

// EndLine refuses anything after the last argument of a word.
func EndLine(d *caddyfile.Dispenser, name string) error {
	if d.NextArg() {
		return d.Errf("%s: one word too many: %q", name, d.Val())
	}
	if d.NextBlock(d.Nesting()) {
		return d.Errf("%s takes no block", name)
	}
	return nil
}

// Once holds the words that may occur only once, with their meaning as the key.
type Once map[string]caddyfile.Token

// Record notes the word that d is at. It refuses the word if its meaning was
// given before, by the same word or by another.
func (o Once) Record(d *caddyfile.Dispenser, meaning string) error {
	now := d.Token()
	before, twice := o[meaning]
	switch {
	case !twice:
		o[meaning] = now
		return nil
	case before.Text == now.Text:
		return d.Errf("%s is given twice, first at %s", now.Text, Place(before))
	}
	return d.Errf("%s, and %s at %s, say the same thing: want one of them", now.Text, before.Text, Place(before))
}

// Dispenser returns a dispenser that is at the first of the tokens.
func Dispenser(tokens ...caddyfile.Token) *caddyfile.Dispenser {
	d := caddyfile.NewDispenser(tokens)
	d.Next()
	return d
}

// Place returns file and line of a token, and the imports that led there, as
// Caddy writes them at the end of an error.
func Place(t caddyfile.Token) string {
	return strings.TrimPrefix(Dispenser(t).Err("").Error(), ", at ")
}

// AnyOf returns words as "a, b or c".
func AnyOf(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// Duration reads a word's only argument, a duration of more than zero. name is
// the word; otherwise is the text for errors that says what holds without it.
func Duration(d *caddyfile.Dispenser, name, otherwise string) (time.Duration, error) {
	if !d.NextArg() {
		return 0, d.Errf("%s: want a duration such as 30s", name)
	}
	value, err := caddy.ParseDuration(d.Val())
	if err != nil && noLimitWords[strings.ToLower(d.Val())] {
		return 0, d.Errf("%s %q: want a duration such as 30s; %s", name, d.Val(), otherwise)
	}
	if right := DurationMeant(d.Val()); err != nil && right != "" {
		return 0, d.Errf("%s %q: want %s", name, d.Val(), right)
	}
	if err != nil {
		return 0, d.Errf("%s %q: want a duration such as 30s", name, d.Val())
	}
	if value <= 0 {
		return 0, d.Errf("%s %q: want more than zero; %s", name, d.Val(), otherwise)
	}
	return value, EndLine(d, name)
}

// noLimitWords are words that people write for no limit.
var noLimitWords = map[string]bool{"never": true, "off": true, "no": true, "none": true, "infinite": true, "unlimited": true, "forever": true, "disabled": true, "false": true}

// units maps the units that people write to those of durations.
var units = map[string]string{
	"": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s",
	"min": "m", "mins": "m", "minute": "m", "minutes": "m",
	"hr": "h", "hrs": "h", "hour": "h", "hours": "h", "std": "h", "day": "d", "days": "d",
	"msec": "ms", "millis": "ms", "milliseconds": "ms",
}

var durationLike = regexp.MustCompile(`^(\d+(?:\.\d+)?)([a-z]*)$`)

// DurationMeant returns the right form of a duration that is spelled
// differently. It is empty if there is none.
func DurationMeant(word string) string {
	found := durationLike.FindStringSubmatch(strings.ToLower(word))
	if found == nil {
		return ""
	}
	if _, err := caddy.ParseDuration(strings.ToLower(word)); err == nil && word != strings.ToLower(word) {
		return strings.ToLower(word)
	}
	unit, known := units[found[2]]
	if !known {
		return ""
	}
	return found[1] + unit
}

// Name reads a name for a gate or an id.
func Name(d *caddyfile.Dispenser, word string) (string, error) {
	if !d.NextArg() {
		return "", d.Errf("%s: want a name", word)
	}
	name := d.Val()
	if name == "." || name == ".." {
		return "", d.Errf("%s %q: a URL would swallow this name: want a letter or a digit in it", word, name)
	}
	if !gate.ValidName(name) {
		return "", d.Errf("%s %q: want 1 to 64 letters, digits, '_', '.' or '-'%s", word, name, similarName(name))
	}
	return name, nil
}

// similarName suggests a similar name without the characters that a name must
// not have.
func similarName(name string) string {
	right := strings.Trim(notInNames.ReplaceAllString(name, "-"), "-.")
	if !gate.ValidName(right) || strings.ContainsFunc(name, func(r rune) bool { return r > unicode.MaxASCII }) {
		return ""
	}
	return fmt.Sprintf(", such as %q", right)
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)
