package gate

import "time"

// Answer is the last answer of a condition, inversion included.
type Answer struct {
	Holds bool
	// Known is set once the condition has been read. Until then Holds is false.
	Known bool
	// Next is when the answer can change by the clock alone. Zero: unknown.
	Next time.Time
	// Err is set when the condition could not be read. Holds is then the last
	// known answer.
	Err error
}

// Decide returns the snapshot that results from a policy, an override (nil:
// none) and the answers of the policy's conditions at a moment. It is a pure
// function: it asks no rule and changes nothing. The caller sets Since and
// Until, because it knows the state before, and can ask the rules about later
// moments.
func Decide(p Policy, o *Override, answers []Answer, now time.Time) *Snapshot {
	if o != nil && o.Expired(now) {
		o = nil
	}
	s := &Snapshot{Mode: p.Mode, Override: o, Closing: p.Closing, Removed: p.Removed}
	if s.Mode == "" {
		s.Mode = Auto
	}
	s.Rules = make([]RuleState, len(p.OpenWhen))
	for i, c := range p.OpenWhen {
		a := answers[i]
		s.Rules[i] = RuleState{Name: c.Name, Not: c.Not, Holds: a.Holds, Next: a.Next, Err: a.Err, Rule: c.Rule}
		s.Next = earlier(s.Next, a.Next)
	}
	if o != nil {
		s.Mode = o.Mode
		if o.Closing != nil {
			s.Closing = *o.Closing
		}
		s.Next = earlier(s.Next, o.Expires)
	}
	if p.Removed {
		s.Mode = Off
	}
	s.Verdict = p.judge(s.Mode, o, s.Rules)
	s.Zone = p.zone()
	return s
}

// judge turns mode and rules into a verdict, without Since and Until.
func (p Policy) judge(mode Mode, o *Override, rules []RuleState) Verdict {
	if p.Removed {
		return Verdict{Cause: CauseConfig, Reason: RemovedReason}
	}
	if o != nil {
		reason := o.Reason
		if reason == "" {
			reason = "switched " + string(o.Mode)
		}
		v := Verdict{Open: o.Mode == On, Cause: CauseOverride, Reason: reason, Text: o.Reason}
		if !v.Open && v.Text == "" {
			v.Text = p.Reason
		}
		return v
	}
	if mode == On {
		return Verdict{Open: true, Cause: CauseConfig, Reason: "mode on"}
	}
	if mode == Off {
		return Verdict{Cause: CauseConfig, Reason: "mode off", Text: p.Reason}
	}
	for _, r := range rules {
		if !r.Holds {
			return Verdict{Cause: CauseRule, Reason: r.text() + " " + r.failure(), Text: p.Reason}
		}
	}
	if len(rules) > 0 {
		return Verdict{Open: true, Cause: CauseRule, Reason: "all rules hold"}
	}
	return Verdict{Open: true, Cause: CauseConfig, Reason: "no rules"}
}
