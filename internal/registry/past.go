package registry

import (
	"slices"

	"github.com/wsgate/wsgate/tunnel"
)

// past holds the counts of a gate that was forgotten. If the gate returns, they
// go on.
type past struct {
	counters *counters
	moved    tunnel.Counts
}

// mostPast is how many forgotten gates keep their counts.
const mostPast = 1000

// keepPast keeps the counts of a gate. r.mu is held.
func (r *registry) keepPast(e *Entry) {
	p := past{e.counters, e.table.counts()}
	if p.counters.empty() && p.moved == (tunnel.Counts{}) {
		return
	}
	if len(r.pastNames) == mostPast {
		delete(r.past, r.pastNames[0])
		r.pastNames = append(r.pastNames[:0:0], r.pastNames[1:]...)
	}
	r.past[e.name] = p
	r.pastNames = append(r.pastNames, e.name)
}

// takePast gives a gate that returns its counts. r.mu is held.
func (r *registry) takePast(e *Entry) {
	p, ok := r.past[e.name]
	if !ok {
		return
	}
	delete(r.past, e.name)
	r.pastNames = slices.DeleteFunc(r.pastNames, func(name string) bool { return name == e.name })
	e.counters, e.table.shards[0].ended = p.counters, p.moved
}
