package registry

import (
	"cmp"
	"slices"
)

// UpstreamStatus is what is known of one upstream of a gate.
type UpstreamStatus struct {
	// Address as the configuration has it, or "dynamic".
	Address string
	// Tunnels is how many tunnels of this gate go there.
	Tunnels int
	// Health as the proxies see it. Nil: the configuration in force does not
	// name the upstream, or it is dynamic.
	Health *UpstreamHealth
}

// UpstreamHealth is an upstream as a proxy sees it.
type UpstreamHealth struct {
	Address string
	// Healthy is what health checks found. Without any it is true.
	Healthy bool
	// Fails are the failures that passive health checks still count.
	Fails int
}

// upstreamStatuses combines the upstreams of open tunnels with those of the
// configuration in force, sorted by address. If several handlers have one
// upstream, it is unhealthy if one of them says so.
func upstreamStatuses(open map[string]int, known []UpstreamHealth) []UpstreamStatus {
	all := make([]UpstreamStatus, 0, len(known))
	at := make(map[string]int, len(known))
	for _, h := range known {
		i, again := at[h.Address]
		if !again {
			at[h.Address] = len(all)
			all = append(all, UpstreamStatus{Address: h.Address, Tunnels: open[h.Address], Health: &h})
			continue
		}
		of := all[i].Health
		of.Healthy = of.Healthy && h.Healthy
		of.Fails = max(of.Fails, h.Fails)
	}
	for address, n := range open {
		if _, listed := at[address]; !listed && n > 0 {
			all = append(all, UpstreamStatus{Address: address, Tunnels: n})
		}
	}
	slices.SortFunc(all, func(a, b UpstreamStatus) int { return cmp.Compare(a.Address, b.Address) })
	return all
}

// healthOf asks the handlers that a gate has in the configuration in force.
func (r *registry) healthOf(gate string) (known []UpstreamHealth) {
	r.mu.Lock()
	var ask []func() []UpstreamHealth
	if n := len(r.inForce); n > 0 {
		ask = r.inForce[n-1].Upstreams[gate]
	}
	r.mu.Unlock()
	for _, f := range ask {
		known = append(known, f()...)
	}
	return known
}
