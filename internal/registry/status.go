package registry

import (
	"maps"
	"slices"
	"time"

	"github.com/wsgate/wsgate/gate"
)

// Status is all there is to know about a gate at a moment.
type Status struct {
	Name   string
	Mode   gate.Mode
	State  gate.State
	Cause  gate.Cause
	Reason string
	// Since and Until frame the state. Until is zero where unknown.
	Since, Until time.Time
	Tunnels      int
	// DrainTold counts the tunnels that were told to end when the gate closed,
	// and Draining those of them that are still open. DrainUntil is their
	// deadline, zero where there is no drain to show: the gate has opened since,
	// or closed again without one, and all of them are gone.
	DrainTold, Draining int
	DrainUntil          time.Time
	// DrainCode and DrainReason are what they were told.
	DrainCode   uint16
	DrainReason string
	// Stored reports whether the switch, as it is now, is in storage.
	Stored   bool
	Override *gate.Override
	Rules    []RuleStatus
	Totals   TotalsStatus
	// Refused has the refused handshakes of the totals by outcome.
	Refused map[string]int64
	Closing gate.Closing
	// Removed reports whether the gate has left the configuration.
	Removed bool
	// Upstreams are those of the configuration in force, and those that have
	// tunnels.
	Upstreams []UpstreamStatus
	// Problems says what cannot be read or written just now.
	Problems []string
	// ETag names the newest switch, quoted, for If-Match.
	ETag string
}

// RuleStatus is what one open_when line says.
type RuleStatus struct {
	Name       string
	Not        bool
	Holds      bool
	NextChange time.Time
	Err        string
	Details    map[string]any
}

// TotalsStatus counts in this process's life, over all configurations. Bytes and
// messages of a gate with more than 4096 tunnels may be some seconds old.
type TotalsStatus struct {
	Accepted, Refused, BytesUp, BytesDown, MessagesUp, MessagesDown int64
}

// Statuses returns the gates an operator can see, sorted by name.
func Statuses(now time.Time) []Status {
	entries := visible()
	all := make([]Status, len(entries))
	for i, e := range entries {
		all[i] = e.status(now)
	}
	return all
}

// visible returns the entries an operator can see, sorted by name.
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
	e.snapshot(now)  // carries out what is due
	etag := e.etag() // before the state: a tag that is late is refused, one that is early is not
	s := e.gate.Snapshot()
	moved := e.table.counts()
	st := Status{
		Name: e.name, Mode: s.Mode, State: gate.Open, Cause: s.Cause, Reason: s.Reason,
		Since: s.Since, Until: s.Until, Override: s.Override, Closing: s.Closing, Removed: s.Removed, ETag: etag,
		Tunnels: e.Tunnels(),
		Stored:  e.reg.ledger.Stored(e.key()),
		Totals: TotalsStatus{
			BytesUp: moved.BytesUp, BytesDown: moved.BytesDown,
			MessagesUp: moved.MessagesUp, MessagesDown: moved.MessagesDown,
		},
		Refused: e.counters.handshakes.read(),
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
	st.Upstreams = upstreamStatuses(e.upstreams.counts(), e.reg.healthOf(e.name))
	return st
}

// storageProblems says what of the gate cannot be read or written just now.
func (e *Entry) storageProblems(stored bool) (problems []string) {
	if trouble := e.reg.ledger.Troubles(flagsPrefix); trouble != "" {
		problems = append(problems, "the stored flags cannot be read: "+trouble)
	}
	if trouble := e.reg.ledger.Trouble(e.key()); trouble != "" {
		return append(problems, "the stored switch cannot be read: "+trouble)
	}
	if !stored {
		problems = append(problems, "the switch is not stored yet")
	}
	return problems
}

// Scraped is what metrics want to know of a gate.
type Scraped struct {
	Status
	Counters
}

// Scrape returns the gates an operator can see with their counters, sorted by
// name.
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
