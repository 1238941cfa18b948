// Package wire has the types of the JSON answers of wsgate's calls on the admin
// endpoint. Package admin writes them, and package command reads them.
package wire

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/registry"
)

// Gate is a gate as the API shows it. Times are in UTC, and absent if they are
// unknown.
type Gate struct {
	Name     string     `json:"name"`
	Mode     gate.Mode  `json:"mode"`
	State    gate.State `json:"state"`
	Cause    gate.Cause `json:"cause"`
	Reason   string     `json:"reason"`
	Since    time.Time  `json:"since,omitzero"`
	Until    time.Time  `json:"until,omitzero"`
	Tunnels  int        `json:"tunnels"`
	Stored   bool       `json:"stored"`
	Drain    *Drain     `json:"drain,omitempty"`
	Override *Override  `json:"override,omitempty"`
	Rules    []Rule     `json:"rules"`
	Totals   Totals     `json:"totals"`
	// Upstreams are the configured ones, and all others that have tunnels.
	Upstreams []Upstream `json:"upstreams"`
	// Refused counts the refused handshakes by outcome.
	Refused  map[string]int64 `json:"refused"`
	Problems []string         `json:"problems,omitempty"`
}

// Switched is the answer to a switch: the gate as it is now, and the override
// that was in force before (null: none).
type Switched struct {
	Gate
	Replaced *Override `json:"replaced"`
}

// Drain is the gate's last drain. It is shown until the gate has opened again
// and none of its tunnels is left. Told is how many tunnels were sent a close
// frame, Gone how many of them have ended, Left how many are still open.
// Deadline is the end of the drain. Code and Reason are those of the close
// frame.
type Drain struct {
	Told     int       `json:"told"`
	Gone     int       `json:"gone"`
	Left     int       `json:"left"`
	Deadline time.Time `json:"deadline"`
	Code     uint16    `json:"code"`
	Reason   string    `json:"reason"`
}

// Upstream is an upstream of the gate. Healthy and Fails are absent if the
// configuration does not name it.
type Upstream struct {
	Address string `json:"address"`
	Tunnels int    `json:"tunnels"`
	Healthy *bool  `json:"healthy,omitempty"`
	Fails   *int   `json:"fails,omitempty"`
}

// Override is an operator's switch at run time.
type Override struct {
	Mode    gate.Mode `json:"mode"`
	Reason  string    `json:"reason"`
	Actor   string    `json:"actor"`
	From    string    `json:"from"`
	At      time.Time `json:"at,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
	Closing *Closing  `json:"closing,omitempty"`
}

// Closing says what happens to open tunnels.
type Closing struct {
	Policy   string `json:"policy"`
	Deadline string `json:"deadline,omitempty"`
	Code     uint16 `json:"code,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// Totals are counts since the process started.
type Totals struct {
	Accepted     int64 `json:"accepted"`
	Refused      int64 `json:"refused"`
	BytesUp      int64 `json:"bytes_up"`
	BytesDown    int64 `json:"bytes_down"`
	MessagesUp   int64 `json:"messages_up"`
	MessagesDown int64 `json:"messages_down"`
}

// Rule is one open_when line. Details are more JSON fields of the same object,
// such as the zone of a time_window or the name of a flag.
type Rule struct {
	Rule       string         `json:"rule"`
	Not        bool           `json:"not,omitempty"`
	Holds      bool           `json:"holds"`
	NextChange time.Time      `json:"next_change,omitzero"`
	Error      string         `json:"error,omitempty"`
	Details    map[string]any `json:"-"`
}

// plainRule is a Rule without its methods.
type plainRule Rule

// reserved are the fields that a detail cannot replace.
var reserved = []string{"rule", "not", "holds", "next_change", "error"}

// MarshalJSON appends the details to the fixed fields.
func (r Rule) MarshalJSON() ([]byte, error) {
	b, err := json.Marshal(plainRule(r))
	if err != nil || len(r.Details) == 0 {
		return b, err
	}
	details := maps.Clone(r.Details)
	for _, name := range reserved {
		delete(details, name)
	}
	more, err := json.Marshal(details)
	if err != nil {
		return nil, fmt.Errorf("encoding the details of rule %q: %w", r.Rule, err)
	}
	if len(details) == 0 {
		return b, nil
	}
	b[len(b)-1] = ','
	return append(b, more[1:]...), nil
}

// UnmarshalJSON is the reverse of MarshalJSON, for the command line.
func (r *Rule) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, (*plainRule)(r)); err != nil {
		return err
	}
	if err := json.Unmarshal(b, &r.Details); err != nil {
		return err
	}
	for _, name := range reserved {
		delete(r.Details, name)
	}
	return nil
}

// GateOf returns a status in the form of the API.
func GateOf(s registry.Status) Gate {
	j := Gate{
		Name: s.Name, Mode: s.Mode, State: s.State, Cause: s.Cause, Reason: s.Reason,
		Since: s.Since.UTC(), Until: s.Until.UTC(), Tunnels: s.Tunnels, Stored: s.Stored,
		Override: OverrideOf(s.Override), Rules: make([]Rule, len(s.Rules)), Upstreams: make([]Upstream, 0, len(s.Upstreams)),
		Totals: Totals(s.Totals), Refused: s.Refused, Problems: s.Problems,
	}
	for i, r := range s.Rules {
		j.Rules[i] = Rule{
			Rule: r.Name, Not: r.Not, Holds: r.Holds, NextChange: r.NextChange.UTC(), Error: r.Err, Details: r.Details,
		}
	}
	for _, u := range s.Upstreams {
		up := Upstream{Address: u.Address, Tunnels: u.Tunnels}
		if u.Health != nil {
			up.Healthy, up.Fails = &u.Health.Healthy, &u.Health.Fails
		}
		j.Upstreams = append(j.Upstreams, up)
	}
	if !s.DrainUntil.IsZero() {
		j.Drain = &Drain{
			Told: s.DrainTold, Gone: s.DrainTold - s.Draining, Left: s.Draining,
			Deadline: s.DrainUntil.UTC(), Code: s.DrainCode, Reason: s.DrainReason,
		}
	}
	return j
}

// OverrideOf returns an override in the form of the API. Nil: none.
func OverrideOf(o *gate.Override) *Override {
	if o == nil {
		return nil
	}
	return &Override{
		Mode: o.Mode, Reason: o.Reason, Actor: o.Actor, From: o.From,
		At: o.At.UTC(), Expires: o.Expires.UTC(), Closing: ClosingOf(o.Closing),
	}
}

// ClosingOf returns a closing in the form of the API. Nil: none.
func ClosingOf(c *gate.Closing) *Closing {
	if c == nil {
		return nil
	}
	if !c.Drain {
		return &Closing{Policy: "keep"}
	}
	return &Closing{Policy: "drain", Deadline: Short(c.Deadline), Code: c.Code, Reason: c.Reason}
}

// Short returns a duration as people write it: 1m30s, but 1m and 24h.
func Short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Flag is a live flag. The answer to a GET can be sent as it is with a PUT.
type Flag struct {
	Value string `json:"value"`
	// Stored is in the answer to every write, and to a read only while it is
	// false.
	Stored *bool `json:"stored,omitempty"`
}

// FlagOf returns a live flag as a read shows it.
func FlagOf(f registry.FlagInfo) Flag {
	j := Flag{Value: f.Value}
	if !f.Stored {
		j.Stored = new(bool)
	}
	return j
}

// Never is the ttl that removes an override's end.
const Never = "never"

// mostEcho is how many bytes of a caller's text an error repeats.
const mostEcho = 64

// Clip quotes a caller's text for an error. It quotes only the beginning of a
// long text.
func Clip(s string) string {
	if len(s) > mostEcho {
		return strconv.Quote(s[:mostEcho]) + "…"
	}
	return strconv.Quote(s)
}
