package gate

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// UntilPlaceholder is replaced in public text by the moment at which the state
// changes, in a form that people read.
const UntilPlaceholder = "{wsgate.until}"

// Zoned is a [Rule] that goes by the clock of a time zone. Times in public text
// are in the zone of a gate's first such rule.
type Zoned interface {
	// Zone returns the rule's zone. Nil: it has none.
	Zone() *time.Location
}

// PublicText returns the text that clients read: in the body of a refusal, in a
// close frame, in {http.wsgate.reason}. It is the operator's text, else the
// configured one, else a neutral sentence with the time. It never names rules,
// flags or hosts.
func (v Verdict) PublicText(now time.Time) string { return v.expand(v.Text, now) }

// expand puts the time into a text. The neutral sentence replaces an empty
// text, and a text that needs an unknown time.
func (v Verdict) expand(text string, now time.Time) string {
	switch {
	case text == "":
		return v.neutral(now)
	case !strings.Contains(text, UntilPlaceholder):
		return text
	case v.Until.IsZero():
		return v.neutral(now)
	}
	return strings.ReplaceAll(text, UntilPlaceholder, timeText(v.Until, v.Zone, now))
}

// neutral returns a sentence with the state, and until when it lasts.
func (v Verdict) neutral(now time.Time) string {
	state := Closed
	if v.Open {
		state = Open
	}
	switch {
	case !v.Until.IsZero():
		return fmt.Sprintf("%s until %s", state, timeText(v.Until, v.Zone, now))
	case v.Open:
		return string(state)
	}
	return string(state) + " for now"
}

// timeText returns a moment as people write it: 09:00 (Asia/Tokyo), with the
// date when it is more than 24 h away.
func timeText(t time.Time, zone *time.Location, now time.Time) string {
	if zone == nil {
		zone = time.Local
	}
	t = t.In(zone)
	name := zone.String()
	if zone == time.Local {
		name = t.Format("MST")
	}
	layout := "15:04"
	if t.Sub(now) > 24*time.Hour {
		layout = "2006-01-02 15:04"
	}
	return t.Format(layout) + " (" + name + ")"
}

// CheckText refuses public text with a placeholder that nothing would replace,
// and text that a handler in front would execute as a template.
func CheckText(text string) error {
	if strings.Contains(text, "{{") {
		return errors.New("{{ begins a template, which a handler in front may execute: leave it out")
	}
	for _, found := range placeholder.FindAllString(text, -1) {
		if found != UntilPlaceholder {
			return fmt.Errorf("unknown placeholder %s: there is %s", found, UntilPlaceholder)
		}
	}
	if i := strings.LastIndex(text, "{wsgate."); i >= 0 && !strings.Contains(text[i:], "}") {
		return fmt.Errorf("%s is not closed: want %s", text[i:], UntilPlaceholder)
	}
	return nil
}

// placeholder matches what looks like one of Caddy's: {env.HOME}, {$HOME}.
var placeholder = regexp.MustCompile(`\{(\$[^{}\s]+|[A-Za-z][\w-]*\.[^{}\s]*)\}`)
