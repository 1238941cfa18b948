package upstream

import (
	"math/rand/v2"
	"net/http"
	"sync"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// loads says how much each upstream address carries: handshakes on the short
// way, and tunnels. It is process-wide, because tunnels outlive their
// configuration, and a new one must count them, too. It has an address only
// while that carries something, because a dynamic upstream may have any number
// of addresses over time.
var loads = struct {
	sync.Mutex
	byAddress map[string]*addressLoad
}{byAddress: make(map[string]*addressLoad)}

// addressLoad is what one address carries. The lock of loads guards it.
type addressLoad struct {
	n       int
	release func() // takes one away; the same for everything that is counted
}

// addLoad counts a handshake or a tunnel of an address until release is called.
// Call release once.
func addLoad(address string) (release func()) {
	loads.Lock()
	defer loads.Unlock()
	l := loads.byAddress[address]
	if l == nil {
		l = new(addressLoad)
		l.release = func() {
			loads.Lock()
			defer loads.Unlock()
			if l.n--; l.n == 0 {
				delete(loads.byAddress, address)
			}
		}
		loads.byAddress[address] = l
	}
	l.n++
	return l.release
}

// loadOf returns how much an address carries.
func loadOf(address string) int {
	loads.Lock()
	defer loads.Unlock()
	if l := loads.byAddress[address]; l != nil {
		return l.n
	}
	return 0
}

// load returns what an upstream carries: handshakes under way, on either way,
// and open tunnels.
func load(u *reverseproxy.Upstream) int {
	return u.Host.NumRequests() + loadOf(u.Dial)
}

// full reports whether an upstream has reached its limit (max_requests,
// unhealthy_request_count).
func full(u *reverseproxy.Upstream) bool { return u.MaxRequests > 0 && load(u) >= u.MaxRequests }

// skipFull is a selection policy that does not select upstreams which are full
// with open tunnels. reverse_proxy itself forgets a tunnel when its handshake
// ends.
type skipFull struct{ inner reverseproxy.Selector }

// countTunnels returns a policy that selects as inner does, and also counts
// open tunnels.
func countTunnels(inner reverseproxy.Selector) reverseproxy.Selector {
	switch p := inner.(type) {
	case *reverseproxy.LeastConnSelection, reverseproxy.LeastConnSelection:
		return leastConn{}
	case *reverseproxy.RandomChoiceSelection:
		return randomChoice{p.Choose}
	}
	return skipFull{inner}
}

// Select gives the inner policy only the upstreams that are not full. A policy
// that goes by positions in the pool gets the whole pool, and is asked again if
// it chooses a full one.
func (c skipFull) Select(pool reverseproxy.UpstreamPool, r *http.Request, w http.ResponseWriter) *reverseproxy.Upstream {
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

// Select returns the least loaded of a few available upstreams, chosen at
// random.
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

// least returns the available upstream with the smallest load. Among equals it
// chooses at random.
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
