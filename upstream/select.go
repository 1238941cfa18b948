package upstream

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// open counts the tunnels of each upstream address in this process, whatever
// configuration they came through.
var open sync.Map // string → *carried

// carried is how many tunnels an address carries.
type carried struct {
	n       atomic.Int64
	release func() // counts one less
}

func carriedBy(dial string) *carried {
	if c, ok := open.Load(dial); ok {
		return c.(*carried)
	}
	fresh := new(carried)
	fresh.release = func() { fresh.n.Add(-1) }
	c, _ := open.LoadOrStore(dial, fresh)
	return c.(*carried)
}

// count counts one tunnel until release is called, once.
func count(dial string) (release func()) {
	c := carriedBy(dial)
	c.n.Add(1)
	return c.release
}

// load is what an upstream carries: handshakes under way and open tunnels.
func load(u *reverseproxy.Upstream) int {
	return u.Host.NumRequests() + int(carriedBy(u.Dial).n.Load())
}

// full reports whether an upstream has reached its limit (max_requests,
// unhealthy_request_count).
func full(u *reverseproxy.Upstream) bool { return u.MaxRequests > 0 && load(u) >= u.MaxRequests }

// counting is a selection policy that knows about open tunnels, which
// reverse_proxy itself forgets as soon as a handshake is over.
type counting struct{ inner reverseproxy.Selector }

// countTunnels makes a policy count open tunnels.
func countTunnels(inner reverseproxy.Selector) reverseproxy.Selector {
	switch p := inner.(type) {
	case *reverseproxy.LeastConnSelection, reverseproxy.LeastConnSelection:
		return leastConn{}
	case *reverseproxy.RandomChoiceSelection:
		return randomChoice{p.Choose}
	}
	return counting{inner}
}

// Select leaves out upstreams that are full. Policies that go by a position in
// the pool see it whole, and are asked again.
func (c counting) Select(pool reverseproxy.UpstreamPool, r *http.Request, w http.ResponseWriter) *reverseproxy.Upstream {
	free := make(reverseproxy.UpstreamPool, 0, len(pool))
	for _, u := range pool {
		if !full(u) {
			free = append(free, u)
		}
	}
	if len(free) == len(pool) {
		return c.inner.Select(pool, r, w)
	}
	if _, byPosition := c.inner.(*reverseproxy.WeightedRoundRobinSelection); !byPosition {
		return c.inner.Select(free, r, w)
	}
	for range pool {
		if u := c.inner.Select(pool, r, w); u == nil || !full(u) {
			return u
		}
	}
	return least(free)
}

// leastConn is Caddy's least_conn with open tunnels counted.
type leastConn struct{}

// Select returns the available upstream with the smallest load.
func (leastConn) Select(pool reverseproxy.UpstreamPool, _ *http.Request, _ http.ResponseWriter) *reverseproxy.Upstream {
	return least(pool)
}

// randomChoice is Caddy's random_choose with open tunnels counted.
type randomChoice struct{ choose int }

// Select returns the least loaded of some available upstreams picked at random.
func (p randomChoice) Select(pool reverseproxy.UpstreamPool, _ *http.Request, _ http.ResponseWriter) *reverseproxy.Upstream {
	able := make(reverseproxy.UpstreamPool, 0, len(pool))
	for _, u := range pool {
		if u.Available() && !full(u) {
			able = append(able, u)
		}
	}
	rand.Shuffle(len(able), func(i, j int) { able[i], able[j] = able[j], able[i] })
	return least(able[:min(len(able), max(1, p.choose))])
}

// least returns the available upstream with the smallest load; among equals
// one at random.
func least(pool reverseproxy.UpstreamPool) *reverseproxy.Upstream {
	var best *reverseproxy.Upstream
	lowest, equals := 0, 0
	for _, u := range pool {
		if !u.Available() || full(u) {
			continue
		}
		n := load(u)
		if best == nil || n < lowest {
			best, lowest, equals = u, n, 1
		} else if n == lowest {
			if equals++; rand.IntN(equals) == 0 { //nolint:gosec // not a secret
				best = u
			}
		}
	}
	return best
}
