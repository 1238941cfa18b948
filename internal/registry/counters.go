package registry

import (
	"maps"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Counters are the counts of a gate in this process, over all configurations.
// They are counted at once.
type Counters struct {
	// Changes of the gate, by new state and cause.
	Changes map[ChangeLabel]int64
	// Handshakes by outcome, with the accepted ones.
	Handshakes map[string]int64
	// Closed are tunnels that ended, by who closed them and by close code.
	Closed map[ClosedLabel]int64
	// HandshakeSeconds has the handshakes that reached an upstream,
	// TunnelSeconds the tunnels that ended.
	HandshakeSeconds, TunnelSeconds Histogram
}

// ChangeLabel is the kind of a change.
type ChangeLabel struct{ To, Cause string }

// ClosedLabel is how a tunnel ended. Code is 1000 to 1015, 3xxx or 4xxx. It is
// none for any other code, and if there was no code.
type ClosedLabel struct{ By, Code string }

// Histogram counts durations by length.
type Histogram struct {
	// Buckets counts the durations up to each bound, in seconds.
	Buckets map[float64]uint64
	// Count is the number of durations, and Sum their sum in seconds.
	Count uint64
	Sum   float64
}

var (
	handshakeBounds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15}
	tunnelBounds    = []float64{1, 10, 60, 300, 1800, 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600}
)

// counters counts for a gate. Safe for concurrent use.
type counters struct {
	changes        tally[ChangeLabel]
	handshakes     tally[string]
	closed         tally[ClosedLabel]
	handshakeTimes histogram
	tunnelTimes    histogram
}

func newCounters() *counters {
	return &counters{handshakeTimes: newHistogram(handshakeBounds), tunnelTimes: newHistogram(tunnelBounds)}
}

func (c *counters) read() Counters {
	return Counters{
		Changes: c.changes.read(), Handshakes: c.handshakes.read(), Closed: c.closed.read(),
		HandshakeSeconds: c.handshakeTimes.read(), TunnelSeconds: c.tunnelTimes.read(),
	}
}

// empty reports whether nothing was counted.
func (c *counters) empty() bool {
	return c.changes.empty() && c.handshakes.empty() && c.closed.empty()
}

// tally counts by label. There are few labels.
type tally[K comparable] struct {
	mu sync.RWMutex // guards the map, but not the numbers in it
	by map[K]*atomic.Int64
}

func (t *tally[K]) add(key K) {
	t.mu.RLock()
	n := t.by[key]
	t.mu.RUnlock()
	if n == nil {
		n = t.make(key)
	}
	n.Add(1)
}

func (t *tally[K]) make(key K) *atomic.Int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		t.by = make(map[K]*atomic.Int64)
	}
	if t.by[key] == nil {
		t.by[key] = new(atomic.Int64)
	}
	return t.by[key]
}

// read returns a copy, never nil.
func (t *tally[K]) read() map[K]int64 {
	t.mu.RLock()
	by := maps.Clone(t.by)
	t.mu.RUnlock()
	all := make(map[K]int64, len(by))
	for key, n := range by {
		all[key] = n.Load()
	}
	return all
}

func (t *tally[K]) empty() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.by) == 0
}

// histogram counts durations.
type histogram struct {
	bounds []float64 // seconds, ascending
	counts []atomic.Uint64
	above  atomic.Uint64
	sum    atomic.Int64 // nanoseconds
}

func newHistogram(bounds []float64) histogram {
	return histogram{bounds: bounds, counts: make([]atomic.Uint64, len(bounds))}
}

func (h *histogram) observe(d time.Duration) {
	h.sum.Add(int64(d))
	if i := sort.SearchFloat64s(h.bounds, d.Seconds()); i < len(h.counts) {
		h.counts[i].Add(1)
	} else {
		h.above.Add(1)
	}
}

func (h *histogram) read() Histogram {
	r := Histogram{Buckets: make(map[float64]uint64, len(h.bounds)), Sum: time.Duration(h.sum.Load()).Seconds()}
	for i, bound := range h.bounds {
		r.Count += h.counts[i].Load()
		r.Buckets[bound] = r.Count
	}
	r.Count += h.above.Load()
	return r
}

// codeLabel bounds the number of labels: the codes 1000 to 1015 have one each,
// registered and private codes share 3xxx and 4xxx, and all others are none.
func codeLabel(code uint16) string {
	switch {
	case code >= 1000 && code <= 1015:
		return strconv.Itoa(int(code))
	case code >= 3000 && code <= 3999:
		return "3xxx"
	case code >= 4000 && code <= 4999:
		return "4xxx"
	}
	return "none"
}
