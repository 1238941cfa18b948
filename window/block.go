package window

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Block is a block of lines while it is parsed. It has a line for each window.
// Its zone and its exceptions apply to all of them.
type Block struct {
	windows []Spec
	zone    string
	except  []string
}

// blockWords maps words that people write to the words of a block.
var blockWords = map[string]string{
	"timezone": "zone", "time_zone": "zone", "tz": "zone",
	"exclude": "except", "excluding": "except", "excepting": "except", "holidays": "except", "not": "except", "without": "except",
}

// Add reads a line of the block.
func (b *Block) Add(words []string) error {
	if slices.Contains(words, "") {
		return errEmpty
	}
	args := words[1:]
	if right, ok := blockWords[strings.ToLower(words[0])]; ok {
		return &spelling{"word", words[0], right}
	}
	switch words[0] {
	case "zone":
		if b.zone != "" {
			return errors.New("zone is given twice: it holds for all windows of the block")
		}
		if len(args) == 2 {
			if err := gluePair(args[0], args[1]); err != nil {
				return err
			}
		}
		if len(args) != 1 {
			return errors.New("zone: want one name such as Europe/Berlin, UTC or local")
		}
		b.zone = args[0]
		_, err := ParseZone(b.zone)
		return err
	case "except":
		if b.except != nil {
			return errors.New("except is given twice: put all dates on one line")
		}
		return b.addDates(args)
	case "hours", "days":
		return fmt.Errorf("%s: a window is one line, its hours and then its days, without the words hours and days: want a line such as 09:00-18:00 mon-fri", words[0])
	}
	s, err := ParseLine(words)
	var unknown *UnknownError
	switch {
	case errors.As(err, &unknown) && unknown.Word == words[0] && unknown.What == "zone":
		return &UnknownError{"word", words[0], "a line that begins with hours such as 09:00-18:00, zone, or except", []string{"zone", "except"}}
	case len(words) == 1 && kindOf(words[0]) == zone:
		name, _ := FindZone(words[0])
		return fmt.Errorf("%q: want zone %s", words[0], name)
	case err != nil:
		return err
	case s.Zone != "":
		return fmt.Errorf("%q: in a block the zone is a line of its own, for all windows: want zone %s", s.Zone, s.Zone)
	case s.Except != nil:
		return fmt.Errorf("except: in a block it is a line of its own, for all windows: want except %s", strings.Join(s.Except, " "))
	}
	b.windows = append(b.windows, s)
	return nil
}

// addDates reads the dates after except.
func (b *Block) addDates(words []string) error {
	if len(words) == 0 {
		return errNoDate
	}
	if err := apart(words); err != nil {
		return err
	}
	for _, word := range words {
		if _, err := ParseDates(word); err != nil {
			return err
		}
	}
	b.except = words
	return nil
}

// Specs returns the windows of the block.
func (b *Block) Specs() ([]Spec, error) {
	if len(b.windows) == 0 {
		return nil, errors.New("no window: want a line that begins with hours such as 09:00-18:00")
	}
	for i := range b.windows {
		b.windows[i].Zone, b.windows[i].Except = b.zone, b.except
	}
	return b.windows, nil
}
