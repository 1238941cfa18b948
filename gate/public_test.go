package gate

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// zoned is a rule with a zone.
type zoned struct {
	hours
	zone *time.Location
}

func (z zoned) Zone() *time.Location { return z.zone }
func (zoned) String() string         { return "secret_rule at 9" }

func TestPublicTextSaysTheTimeAsPeopleReadIt(t *testing.T) {
	tokyo := time.FixedZone("Asia/Tokyo", 9*3600)
	for name, tt := range map[string]struct {
		v    Verdict
		want string
	}{
		"closed, until nobody knows": {Verdict{}, "closed for now"},
		"closed, and known":          {Verdict{Until: start.Add(time.Hour), Zone: tokyo}, "closed until 19:00 (Asia/Tokyo)"},
		"in exactly a day":           {Verdict{Until: start.Add(24 * time.Hour), Zone: tokyo}, "closed until 18:00 (Asia/Tokyo)"},
		"further off than a day":     {Verdict{Until: start.Add(24*time.Hour + time.Second), Zone: tokyo}, "closed until 2026-11-23 18:00 (Asia/Tokyo)"},
		"open":                       {Verdict{Open: true}, "open"},
		"open, and known":            {Verdict{Open: true, Until: start.Add(time.Hour), Zone: time.UTC}, "open until 10:00 (UTC)"},
		"words":                      {Verdict{Text: "db migration"}, "db migration"},
		"words with a time":          {Verdict{Text: "back at {wsgate.until}, or {wsgate.until}", Until: start.Add(time.Hour), Zone: time.UTC}, "back at 10:00 (UTC), or 10:00 (UTC)"},
		"a time that nobody knows":   {Verdict{Text: "back at {wsgate.until}"}, "closed for now"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.v.PublicText(start); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestPublicTextIsInTheServersZoneWhereNoRuleHasOne(t *testing.T) {
	until := start.Add(time.Hour)
	want := until.In(time.Local).Format("15:04 (MST)")
	for _, zone := range []*time.Location{nil, time.Local} {
		if got := (Verdict{Until: until, Zone: zone}).PublicText(start); got != "closed until "+want {
			t.Errorf("got %q, want the time as %q", got, want)
		}
	}
}

func TestPublicTextNamesNoRule(t *testing.T) {
	broken := &lever{err: errors.New("/etc/secret: permission denied")}
	closed := zoned{hours{20, 21}, time.FixedZone("Asia/Tokyo", 9*3600)}
	for name, p := range map[string]Policy{
		"a rule that does not hold":     {OpenWhen: []Condition{{Name: "secret_rule", Rule: closed}}},
		"a rule that cannot be read":    {OpenWhen: []Condition{{Name: "secret_rule", Rule: broken}}},
		"a mode":                        {Mode: Off},
		"a gate that has left":          {Removed: true},
		"a rule that is turned around":  {OpenWhen: []Condition{{Name: "secret_rule", Not: true, Rule: hours{8, 22}}}},
		"a rule behind one that holds":  {OpenWhen: []Condition{{Name: "ok", Rule: hours{0, 23}}, {Name: "secret_rule", Rule: closed}}},
		"an override that gives no why": {},
	} {
		g := New(p, start)
		if name == "an override that gives no why" {
			g.SetOverride(&Override{Mode: Off, Actor: "secret_ana", From: "secret_host"}, start)
		}
		v := g.Snapshot().Verdict
		if text := v.PublicText(start); v.Open || !strings.HasPrefix(text, "closed ") || strings.Contains(text, "secret") {
			t.Errorf("%s: open %v, clients read %q", name, v.Open, text)
		}
	}
}

func TestPublicTextIsTheOperatorsElseThePolicys(t *testing.T) {
	g := New(Policy{Mode: Off, Reason: "closed for the night"}, start)
	if got := g.Snapshot().PublicText(start); got != "closed for the night" {
		t.Errorf("without a switch: %q", got)
	}
	g.SetOverride(&Override{Mode: Off}, start)
	if got := g.Snapshot().PublicText(start); got != "closed for the night" {
		t.Errorf("a switch without a reason: %q", got)
	}
	g.SetOverride(&Override{Mode: Off, Reason: "db migration"}, start)
	if got := g.Snapshot().PublicText(start); got != "db migration" {
		t.Errorf("a switch with a reason: %q", got)
	}
	g.SetOverride(&Override{Mode: On}, start)
	if got := g.Snapshot().PublicText(start); got != "open" {
		t.Errorf("switched on, the reason for being closed is told: %q", got)
	}
	g.SetOverride(nil, start)
	g.SetPolicy(Policy{Reason: "closed for the night"}, start)
	if got := g.Snapshot().PublicText(start); got != "open" {
		t.Errorf("open by configuration: %q", got)
	}
	g.SetPolicy(Policy{Reason: "back at {wsgate.until}", OpenWhen: []Condition{{Name: "w", Rule: hours{20, 21}}, {Name: "z", Rule: zoned{hours{0, 24}, time.FixedZone("Asia/Tokyo", 9*3600)}}}}, start)
	if got := g.Snapshot().PublicText(start); got != "back at 05:00 (Asia/Tokyo)" && got != "back at 2026-11-23 05:00 (Asia/Tokyo)" {
		t.Errorf("in the zone of the first rule that has one: %q", got)
	}
}

func TestReasonsForOperatorsNameTheRuleWithItsArguments(t *testing.T) {
	p := Policy{OpenWhen: []Condition{{Name: "secret_rule", Rule: zoned{hours: hours{20, 21}}}}}
	if got := New(p, start).Snapshot().Reason; got != "secret_rule at 9 does not hold" {
		t.Errorf("got %q", got)
	}
}

func TestUnknownPlaceholdersOfPublicTextAreRefused(t *testing.T) {
	for text, good := range map[string]bool{
		"": true, "plain": true, "{until}": true, "{wsgate.until}": true, "a {wsgate.until} b {wsgate.until}": true,
		"{wsgate.untill}": false, "{wsgate.}": false, "{wsgate.until": false, "{wsgate.until} {wsgate.gate}": false,
		"{http.wsgate.until}": false, "{env.HOME}": false, "{$HOME}": false, "{time.now}": false, "{ a.b }": true, "{}": true, "50 {% off": true,
		`{{readFile "secret"}}`: false, "{{ broken": false, "{{wsgate.until}}": false,
	} {
		if err := CheckText(text); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}
