package registry

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/wsgate/wsgate/tunnel"
)

const (
	// shards divide a table, so that two tunnels rarely wait for one lock.
	shards = 64
	// sumAtOnce is how many tunnels are summed up while the caller waits. With
	// more, the sums are up to sumEvery old.
	sumAtOnce = 4096
	sumEvery  = 2 * time.Second
)

// table holds the open tunnels of a gate. Safe for concurrent use.
type table struct {
	count  atomic.Int64
	shards [shards]shard

	mu       sync.Mutex // guards the fields below
	sums     tunnel.Counts
	summedAt time.Time // when sums were computed
	summing  bool
}

// shard holds the tunnels whose ids have one remainder.
type shard struct {
	mu    sync.Mutex // guards the fields below
	open  map[TunnelID]*Tunnel
	peak  int           // the most tunnels since open was made
	ended tunnel.Counts // counts of tunnels that have ended
	_     [16]byte      // fills a cache line
}

func (t *table) shard(id TunnelID) *shard { return &t.shards[id%shards] }

// add lists a tunnel, unless refuse returns an error. Whoever closes the gate
// and then goes through the table finds the tunnel, or refuse has seen the
// closed gate.
func (t *table) add(one *Tunnel, refuse func() error) error {
	s := t.shard(one.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := refuse(); err != nil {
		return err
	}
	if s.open == nil {
		s.open = make(map[TunnelID]*Tunnel)
	}
	s.open[one.id] = one
	s.peak = max(s.peak, len(s.open))
	t.count.Add(1)
	return nil
}

// remove removes a tunnel, and reports whether a drain has told it to end.
func (t *table) remove(one *Tunnel) (told bool) {
	s := t.shard(one.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, one.id)
	s.ended.Add(one.Counts())
	if s.peak > 64 && len(s.open) < s.peak/4 { // a map does not shrink by itself
		smaller := make(map[TunnelID]*Tunnel, len(s.open))
		for id, t := range s.open {
			smaller[id] = t
		}
		s.open, s.peak = smaller, len(smaller)
	}
	return one.told.Load()
}

// find returns a tunnel by its id. Nil: it is not open.
func (t *table) find(id TunnelID) *Tunnel {
	s := t.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[id]
}

// each calls do for every tunnel that stays in the table meanwhile, and perhaps
// for others. Tunnels of the present shard cannot come or go.
func (t *table) each(do func(*Tunnel)) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for _, one := range s.open {
			do(one)
		}
		s.mu.Unlock()
	}
}

// all returns every tunnel.
func (t *table) all() []*Tunnel {
	open := make([]*Tunnel, 0, t.count.Load())
	t.each(func(one *Tunnel) { open = append(open, one) })
	return open
}

// seal calls done if the table is empty, while no tunnel can be added. It
// reports whether the table was empty.
func (t *table) seal(done func()) bool {
	for i := range t.shards {
		t.shards[i].mu.Lock()
		defer t.shards[i].mu.Unlock()
	}
	if t.count.Load() > 0 {
		return false
	}
	done()
	return true
}

// counts returns the sums of what all tunnels have carried, those that have
// ended included. Each tunnel counts by itself, because a shared counter would
// move from core to core with every message. With more than 4096 tunnels, the
// sums are some seconds old.
func (t *table) counts() tunnel.Counts {
	if t.count.Load() <= sumAtOnce {
		return t.sumNow()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.summing && time.Since(t.summedAt) > sumEvery {
		t.summing = true
		go func() {
			t.sumNow()
			t.mu.Lock()
			defer t.mu.Unlock()
			t.summing = false
		}()
	}
	return t.sums
}

// sumNow computes the sums.
func (t *table) sumNow() (sums tunnel.Counts) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		sums.Add(s.ended)
		for _, one := range s.open {
			sums.Add(one.Counts())
		}
		s.mu.Unlock()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sums.Raise(sums)
	t.summedAt = time.Now()
	return t.sums
}
