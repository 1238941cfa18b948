package command

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/wire"
)

// printGates prints one line for each gate.
func printGates(w io.Writer, all []wire.Gate, now time.Time) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "GATE\tMODE\tSTATE\tTUNNELS\tSINCE\tUNTIL\tWHY")
	for _, g := range all {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", g.Name, g.Mode, g.State, g.Tunnels,
			timeText(g.Since, now), timeText(g.Until, now), why(g))
	}
	_ = t.Flush() // no error for a terminal that is gone
}

// printGate prints everything about one gate.
func printGate(w io.Writer, g wire.Gate, now time.Time) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(label, format string, args ...any) {
		fmt.Fprintf(t, "%s\t%s\n", label, fmt.Sprintf(format, args...))
	}
	line("gate", "%s", g.Name)
	line("mode", "%s", g.Mode)
	line("state", "%s since %s%s", g.State, timeText(g.Since, now), until(g, now))
	line("why", "%s", why(g))
	if o := g.Override; o != nil {
		line("switched", "%s", switched(o, now))
	}
	line("tunnels", "%s", strings.Join(tunnels(g, now), ", "))
	label := "rules"
	for _, r := range g.Rules {
		line(label, "%s", ruleText(r, now))
		label = ""
	}
	label = "upstreams"
	for _, u := range g.Upstreams {
		line(label, "%s", upstreamText(u))
		label = ""
	}
	c := g.Totals
	line("handshakes", "%d accepted, %d refused%s", c.Accepted, c.Refused, refusalText(g.Refused))
	line("up", "%d messages, %d bytes", c.MessagesUp, c.BytesUp)
	line("down", "%d messages, %d bytes", c.MessagesDown, c.BytesDown)
	_ = t.Flush()
}

// printSwitched prints the result of a switch.
func printSwitched(w io.Writer, g wire.Gate, now time.Time) {
	state := string(g.State)
	if g.State == gate.Draining {
		state = string(gate.Closed)
	}
	fmt.Fprintf(w, "%s is %s%s: %s\n", g.Name, state, until(g, now), why(g))
	for _, line := range tunnels(g, now) {
		fmt.Fprintln(w, line)
	}
}

// tunnels says what happened to the draining tunnels, and what happens to the
// others.
func tunnels(g wire.Gate, now time.Time) (says []string) {
	d := g.Drain
	if d == nil {
		d = new(wire.Drain)
	}
	if d.Told > 0 {
		says = append(says, drained(d, now))
	}
	switch other := g.Tunnels - d.Left; {
	case g.Tunnels == 0 && d.Told == 0:
		says = append(says, "no tunnel is open")
	case other > 0 && g.State == gate.Open:
		says = append(says, count(other, "is", "are")+" open")
	case other > 0:
		says = append(says, count(other, "stays", "stay")+" open")
	}
	return says
}

// drained says how many tunnels a drain has ended so far.
func drained(d *wire.Drain, now time.Time) string {
	words := fmt.Sprint(d.Code)
	if d.Reason != "" {
		words += " " + printable(d.Reason)
	}
	s := fmt.Sprintf("%s told to end (%s), %s gone", count(d.Told, "was", "were"), words, number(d.Gone, "is", "are"))
	switch {
	case d.Left == 0:
	case now.Before(d.Deadline):
		s += fmt.Sprintf(", %s until %s", number(d.Left, "has", "have"), timeText(d.Deadline, now))
	default:
		s += fmt.Sprintf(", %s being cut", number(d.Left, "is", "are"))
	}
	return s
}

func number(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 tunnel " + one
	}
	return fmt.Sprintf("%d tunnels %s", n, many)
}

// why returns the cause, the reason and the actor.
func why(g wire.Gate) string {
	s := printable(g.Reason)
	if g.Override == nil {
		return fmt.Sprintf("%s: %s", g.Cause, cmp.Or(s, "no reason given"))
	}
	if actor := printable(g.Override.Actor); actor != "" {
		s += " (" + actor + ")"
	}
	return fmt.Sprintf("%s: %s", g.Cause, s)
}

func switched(o *wire.Override, now time.Time) string {
	s := fmt.Sprintf("%s by %s", o.Mode, cmp.Or(printable(o.Actor), "somebody"))
	if o.From != "" {
		s += " from " + printable(o.From)
	}
	s += " at " + timeText(o.At, now)
	if !o.Expires.IsZero() {
		s += ", back to auto at " + timeText(o.Expires, now)
	}
	return s
}

func until(g wire.Gate, now time.Time) string {
	if g.Until.IsZero() {
		return ""
	}
	return " until " + timeText(g.Until, now)
}

func upstreamText(u wire.Upstream) string {
	s := printable(u.Address) + ": " + number(u.Tunnels, "tunnel", "tunnels")
	switch {
	case u.Healthy == nil:
	case *u.Healthy:
		s += ", healthy"
	default:
		s += ", unhealthy"
	}
	if u.Fails != nil && *u.Fails > 0 {
		s += ", " + number(*u.Fails, "failure", "failures")
	}
	return s
}

// refusalText lists the outcomes, the most frequent first.
func refusalText(by map[string]int64) string {
	names := slices.SortedFunc(maps.Keys(by), func(a, b string) int {
		return cmp.Or(cmp.Compare(by[b], by[a]), cmp.Compare(a, b))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%d %s", by[name], printable(name))
	}
	if len(names) == 0 {
		return ""
	}
	return " (" + strings.Join(names, ", ") + ")"
}

func ruleText(r wire.Rule, now time.Time) string {
	name, says := r.Rule, []string{"does not hold"}
	if r.Not {
		name = "not " + name
	}
	if r.Holds {
		says[0] = "holds"
	}
	if !r.NextChange.IsZero() {
		says = append(says, "next change "+timeText(r.NextChange, now))
	}
	for _, key := range slices.Sorted(maps.Keys(r.Details)) {
		says = append(says, key+" "+detailText(r.Details[key]))
	}
	if r.Error != "" {
		says = append(says, "cannot be read: "+r.Error)
	}
	return printable(name + ": " + strings.Join(says, ", "))
}

// windowWords are the parts of a window of time_window, in their order.
var windowWords = []string{"hours", "days", "zone", "except"}

// detailText returns a detail of a rule as people write it, and a window as the
// configuration has it.
func detailText(v any) string {
	var parts []string
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			parts = append(parts, detailText(one))
		}
		return strings.Join(parts, ", ")
	case map[string]any:
		for _, word := range windowWords {
			if value, ok := v[word]; ok {
				parts = append(parts, strings.ReplaceAll(detailText(value), ", ", " "))
			}
		}
		return strings.Join(parts, " ")
	}
	return fmt.Sprint(v)
}

// timeText returns a moment in local time: only the time of day if it is less
// than half a day away, else with the date. "-": unknown.
func timeText(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	t = t.Local()
	if d := t.Sub(now).Abs(); d < 12*time.Hour {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}

// printable replaces characters that could control the terminal, in a text from
// an operator or a rule.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}
