package registry

import (
	"maps"
	"slices"
	"time"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/ledger"
)

// Status is all that is known of a gate at one moment.
type Status struct {
	Name   string
	Mode   gate.Mode
	State  gate.State
	Cause  gate.Cause
	Reason string
	// Since and Until are the begin and the end of the state. Until is zero if
	// it is unknown.
	Since, Until time.Time
	Tunnels      int
	// DrainTold is how many tunnels were told to end when the gate closed.
	// Draining is how many of them are still open. DrainUntil is their
	// deadline. It is zero if there is no drain to show: all of them are gone,
	// and the gate has opened since, or has closed again without a drain.
	DrainTold, Draining int
	DrainUntil          time.Time
	// DrainCode and DrainReason are code and reason of their close frames.
	DrainCode   uint16
	DrainReason string
	// Stored reports whether storage has the record in force.
	Stored   bool
	Override *gate.Override
	Rules    []RuleStatus
	Totals   TotalsStatus
	// Refused has the refused handshakes by outcome.
	Refused map[string]int64
	Closing gate.Closing
	// Removed reports whether the gate has left the configuration.
	Removed bool
	// Upstreams are those of the configuration in force, and those of open
	// tunnels.
	Upstreams []UpstreamStatus
	// Problems are what cannot be read or written at the moment.
	Problems []string
	// ETag names the record in force, in quotes, for If-Match.
	ETag string
}

// RuleStatus is the state of one open_when line.
type RuleStatus struct {
	Name       string
	Not        bool
	Holds      bool
	NextChange time.Time
	Err        string
	Details    map[string]any
}

// TotalsStatus has the totals of this process, over all configurations. If a
// gate has more than 4096 tunnels, its bytes and messages may be some seconds
// old.
type TotalsStatus struct {
	Accepted, Refused, BytesUp, BytesDown, MessagesUp, MessagesDown int64
}

// Statuses returns the status of all gates that operators can see, sorted by
// name.
func Statuses(now time.Time) []Status {
	entries := visible()
	all := make([]Status, len(entries))
	for i, e := range entries {
		all[i] = e.status(now)
	}
	return all
}

// visible returns the entries that operators can see, sorted by name.
func visible() []*Entry {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	names := reg.names()
	entries := make([]*Entry, len(names))
	for i, name := range names {
		entries[i] = reg.entries[name]
	}
	return entries
}

// StatusOf returns one gate's status, or an [*UnknownGateError].
func StatusOf(name string, now time.Time) (Status, error) {
	e, err := reg.lookup(name)
	if err != nil {
		return Status{}, err
	}
	return e.status(now), nil
}

// names returns the names of all visible gates, sorted. r.mu is held.
func (r *registry) names() []string {
	return slices.Sorted(func(yield func(string) bool) {
		for name, e := range r.entries {
			if (e.present || e.Tunnels() > 0) && !yield(name) {
				return
			}
		}
	})
}

func (e *Entry) status(now time.Time) Status {
	e.snapshot(now)  // carries out a change that is due
	etag := e.etag() // before the state: an old tag is refused, but a tag that is newer than the state would not be
	s := e.gate.Snapshot()
	moved, upstreams := e.table.counts(), e.upstreams.counts()
	st := Status{
		Name: e.name, Mode: s.Mode, State: gate.Open, Cause: s.Cause, Reason: s.Reason,
		Since: s.Since, Until: s.Until, Override: s.Override, Closing: s.Closing, Removed: s.Removed, ETag: etag,
		Stored: e.reg.ledger.Stored(e.key()),
		Totals: TotalsStatus{
			BytesUp: moved.BytesUp, BytesDown: moved.BytesDown,
			MessagesUp: moved.MessagesUp, MessagesDown: moved.MessagesDown,
		},
		Refused: e.counters.handshakes.read(),
	}
	for _, n := range upstreams { // so that they add up
		st.Tunnels += n
	}
	st.Totals.Accepted = st.Refused[Accepted]
	delete(st.Refused, Accepted)
	for _, n := range st.Refused {
		st.Totals.Refused += n
	}
	if !s.Open {
		st.State = gate.Closed
	}
	e.drain.fill(&st, s.Open, now)
	for _, r := range s.Rules {
		st.Rules = append(st.Rules, ruleStatus(r, now))
		if r.Err != nil {
			st.Problems = append(st.Problems, r.Name+" cannot be read: "+r.Err.Error())
		}
	}
	st.Problems = append(st.Problems, e.storageProblems(st.Stored)...)
	st.Upstreams = upstreamStatuses(upstreams, e.reg.healthOf(e.name))
	return st
}

// storageProblems returns what of the gate cannot be read or written at the
// moment.
func (e *Entry) storageProblems(stored bool) (problems []string) {
	if trouble := e.reg.ledger.Troubles(flagsPrefix); trouble != "" {
		problems = append(problems, "the stored flags cannot be read: "+trouble)
	}
	if e.reg.ledger.Exhausted(e.key()) {
		problems = append(problems, exhausted(e.key()))
	}
	if m := e.reg.flags.values.Load(); m != nil {
		for name := range *m {
			if key := flagsPrefix + name; e.reg.ledger.Exhausted(key) {
				problems = append(problems, exhausted(key))
			}
		}
	}
	if trouble := e.reg.ledger.Trouble(e.key()); trouble != "" {
		return append(problems, "the stored switch cannot be read: "+trouble)
	}
	if !stored {
		problems = append(problems, "the switch is not stored yet")
	}
	return problems
}

// exhausted is the problem of a record that no higher number can follow.
func exhausted(key string) string {
	return ledger.StorageKey(key) + " has the highest number that there is: remove it while Caddy is stopped"
}

// Scraped has what metrics need of a gate.
type Scraped struct {
	Status
	Counters
}

// Scrape returns the gates that operators can see with their counters, sorted
// by name.
func Scrape(now time.Time) []Scraped {
	entries := visible()
	all := make([]Scraped, len(entries))
	for i, e := range entries {
		all[i] = Scraped{e.status(now), e.counters.read()}
	}
	return all
}

func ruleStatus(r gate.RuleState, now time.Time) RuleStatus {
	rs := RuleStatus{Name: r.Name, Not: r.Not, Holds: r.Holds, NextChange: r.Next}
	if r.Err != nil {
		rs.Err = r.Err.Error()
	}
	if d, ok := r.Rule.(gate.Describer); ok {
		rs.Details = maps.Clone(d.Describe(now))
	}
	return rs
}
