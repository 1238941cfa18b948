package registry

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/tunnel"
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
	// Upstreams has the open tunnels of each upstream that ever had one.
	Upstreams map[string]int
	// Backends are the upstreams of the configuration in force, and those that
	// have tunnels.
	Backends []UpstreamStatus
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

// TotalsStatus counts in this process's life, over all configurations.
type TotalsStatus struct {
	Accepted, Refused, BytesUp, BytesDown, MessagesUp, MessagesDown int64
}

// Statuses returns the gates an operator can see, sorted by name.
func Statuses(now time.Time) []Status {
	reg.mu.Lock()
	names := reg.names()
	entries := make([]*Entry, len(names))
	for i, name := range names {
		entries[i] = reg.entries[name]
	}
	reg.mu.Unlock()
	all := make([]Status, len(entries))
	for i, e := range entries {
		all[i] = e.status(now)
	}
	return all
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
	moved := e.counts()
	st := Status{
		Name: e.name, Mode: s.Mode, State: gate.Open, Cause: s.Cause, Reason: s.Reason,
		Since: s.Since, Until: s.Until, Override: s.Override, Closing: s.Closing, Removed: s.Removed, ETag: etag,
		Stored: e.reg.ledger.Stored(e.key()),
		Totals: TotalsStatus{
			Accepted: e.accepted.Load(),
			BytesUp:  moved.BytesUp, BytesDown: moved.BytesDown,
			MessagesUp: moved.MessagesUp, MessagesDown: moved.MessagesDown,
		},
		Upstreams: make(map[string]int),
	}
	st.Refused, st.Totals.Refused = e.refused.sums()
	for _, r := range s.Rules {
		st.Rules = append(st.Rules, ruleStatus(r, now))
		if r.Err != nil {
			st.Problems = append(st.Problems, r.Name+" cannot be read: "+r.Err.Error())
		}
	}
	st.Problems = append(st.Problems, e.storageProblems(st.Stored)...)
	e.fill(&st, s.Open, now)
	st.Backends = upstreamStatuses(st.Upstreams, e.reg.healthOf(e.name))
	return st
}

// fill adds what the entry's lock guards.
func (e *Entry) fill(st *Status, open bool, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	st.Tunnels = len(e.tunnels)
	for label, u := range e.upstreams {
		st.Upstreams[label] = u.open
	}
	if d := e.drain; d.left > 0 || !open && d.of.Equal(st.Since) {
		st.DrainTold, st.Draining = d.told, d.left
		st.DrainUntil, st.DrainCode, st.DrainReason = d.Deadline, d.Code, d.Reason
	}
	if !open {
		st.State = gate.Closed
		if e.draining(now) {
			st.State = gate.Draining
		}
	}
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

// counts adds up what the gate's tunnels have forwarded, those that have ended
// included. The tunnels count for themselves: a counter that they shared would
// go from core to core with every message.
func (e *Entry) counts() tunnel.Counts {
	e.mu.Lock()
	all, open := e.gone, append([]*Tunnel(nil), e.tunnels...)
	e.mu.Unlock()
	for _, t := range open {
		all.Add(t.Counts())
	}
	return all
}

// past is what the gate leaves behind.
func (e *Entry) past() past {
	refused, _ := e.refused.sums()
	return past{accepted: e.accepted.Load(), refused: refused, gone: e.counts()}
}

// goOn counts on from what the gate has left behind.
func (e *Entry) goOn(p past) {
	e.accepted.Store(p.accepted)
	e.refused.by = p.refused
	e.gone = p.gone
}

// refusals counts handshakes by outcome, of which there are few.
type refusals struct {
	mu sync.Mutex
	by map[string]int64 // nil: none yet
}

func (r *refusals) add(outcome string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by == nil {
		r.by = make(map[string]int64)
	}
	r.by[outcome]++
}

// sums returns a copy of the counts, never nil, and all of them together.
func (r *refusals) sums() (by map[string]int64, all int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	by = make(map[string]int64, len(r.by))
	for outcome, n := range r.by {
		by[outcome] = n
		all += n
	}
	return by, all
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
