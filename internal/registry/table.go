package registry

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/wsgate/wsgate/tunnel"
)

const (
	// shards divide a table, so that tunnels that come and go rarely meet.
	shards = 64
	// addAtOnce is how many tunnels are added up while somebody waits. With more
	// of them the sums are up to addEvery old.
	addAtOnce = 4096
	addEvery  = 2 * time.Second
)

// table is the open tunnels of a gate. Safe for concurrent use.
type table struct {
	count  atomic.Int64
	shards [shards]shard

	mu     sync.Mutex // guards the fields below
	sums   tunnel.Counts
	added  time.Time // when sums were added up
	adding bool
}

// shard is the tunnels whose ids have one remainder.
type shard struct {
	mu   sync.Mutex // guards the fields below
	open map[TunnelID]*Tunnel
	most int           // how many there were since open was made
	gone tunnel.Counts // of tunnels that have ended
	_    [16]byte      // a shard fills a cache line
}

func (t *table) shard(id TunnelID) *shard { return &t.shards[id%shards] }

// add lists a tunnel, unless refuse says that it must not be: whoever closes the
// table's gate, and then looks through the table, finds it or has it refused.
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
	s.most = max(s.most, len(s.open))
	t.count.Add(1)
	return nil
}

// remove takes a tunnel out, and reports whether it was told to end by a drain.
func (t *table) remove(one *Tunnel) (told bool) {
	s := t.shard(one.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, one.id)
	s.gone.Add(one.Counts())
	if s.most > 64 && len(s.open) < s.most/4 { // a map does not shrink by itself
		smaller := make(map[TunnelID]*Tunnel, len(s.open))
		for id, t := range s.open {
			smaller[id] = t
		}
		s.open, s.most = smaller, len(smaller)
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

// each calls do for every tunnel that is there from begin to end, and for some
// of the others. Tunnels of a shard cannot come or go meanwhile.
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

// seal reports whether the table is empty, and has then called done while no
// tunnel could be added.
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

// counts adds up what the tunnels have forwarded, those that have ended
// included. The tunnels count for themselves: a counter that they shared would
// go from core to core with every message. Of more than 4096 tunnels the sums are
// some seconds old.
func (t *table) counts() tunnel.Counts {
	if t.count.Load() <= addAtOnce {
		return t.addUp()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.adding && time.Since(t.added) > addEvery {
		t.adding = true
		go func() {
			t.addUp()
			t.mu.Lock()
			defer t.mu.Unlock()
			t.adding = false
		}()
	}
	return t.sums
}

// addUp adds up now.
func (t *table) addUp() (sums tunnel.Counts) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		sums.Add(s.gone)
		for _, one := range s.open {
			sums.Add(one.Counts())
		}
		s.mu.Unlock()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sums.Raise(sums)
	t.added = time.Now()
	return t.sums
}
