package registry

import (
	"slices"

	"github.com/wsgate/wsgate/tunnel"
)

// past is what a gate has counted before it was forgotten: counters go on when
// it returns.
type past struct {
	counters *counters
	moved    tunnel.Counts
}

// mostPast is how many gates that were forgotten may return and count on.
const mostPast = 1000

// keepPast notes what a gate leaves behind. r.mu is held.
func (r *registry) keepPast(e *Entry) {
	p := past{e.counters, e.table.counts()}
	if p.counters.empty() && p.moved == (tunnel.Counts{}) {
		return
	}
	if len(r.pasts) == mostPast {
		delete(r.past, r.pasts[0])
		r.pasts = append(r.pasts[:0:0], r.pasts[1:]...)
	}
	r.past[e.name] = p
	r.pasts = append(r.pasts, e.name)
}

// takePast has a gate that returns count on. r.mu is held.
func (r *registry) takePast(e *Entry) {
	p, ok := r.past[e.name]
	if !ok {
		return
	}
	delete(r.past, e.name)
	r.pasts = slices.DeleteFunc(r.pasts, func(name string) bool { return name == e.name })
	e.counters, e.table.shards[0].gone = p.counters, p.moved
}
