package matchers

import (
	"fmt"
	"time"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/window"
)

// Never returns why conditions can never hold at the same time. It is empty if
// they can, or if only the future can tell. It reads the rules of this package,
// which need not be provisioned.
func Never(now time.Time, conditions []gate.Condition) string {
	if why := neverByClock(now, conditions); why != "" {
		return why
	}
	return neverByFlags(conditions)
}

// neverByClock searches for a moment at which all time windows hold.
func neverByClock(now time.Time, conditions []gate.Condition) string {
	var terms []window.Term
	for _, c := range conditions {
		m, ok := c.Rule.(*TimeWindow)
		if !ok {
			continue
		}
		schedule, _, err := m.read()
		if err != nil {
			return "" // another check refuses it
		}
		terms = append(terms, window.Term{Schedule: schedule, Not: c.Not})
	}
	switch {
	case window.Together(now, terms...):
		return ""
	case len(terms) == 1:
		return "its time_window has no moment within two years"
	}
	return "its time_window lines have no moment in common: all open_when lines must hold; several windows, of which any is enough, stand in one block"
}

// neverByFlags searches for a flag that would need two values at once.
func neverByFlags(conditions []gate.Condition) string {
	var must, mustNot []FlagTest
	for _, c := range conditions {
		switch m, ok := c.Rule.(*EnvFlag); {
		case !ok:
		case !c.Not:
			must = append(must, m.Flags...)
		case len(m.Flags) == 1: // of several flags, any one may be unset
			mustNot = append(mustNot, m.Flags[0])
		}
	}
	for i, f := range must {
		for _, g := range must[:i] {
			if f.Name == g.Name && !f.suits(g) && !g.suits(f) {
				return fmt.Sprintf("env_flag %s would have to be two things at once: all open_when lines must hold", f.Name)
			}
		}
		for _, g := range mustNot {
			if f.Name == g.Name && f.suits(g) {
				return fmt.Sprintf("env_flag %s would have to be set and not set at once: all open_when lines must hold", f.Name)
			}
		}
	}
	return ""
}

// suits reports whether each value that meets f also meets g.
func (f FlagTest) suits(g FlagTest) bool { return f == g || f.Value != "" && g.met(f.Value) }
