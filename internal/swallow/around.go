package swallow

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// bypasses returns the directives that lead handshakes to one of our upstream
// addresses without asking the gate. A directive after a wsgate that takes
// every handshake does not count, because none reaches it.
func (s *Site) bypasses(ours place, upstreams []string) (by []word) {
	var found []proxy
	slices.Sort(upstreams)
	for _, d := range slices.Compact(upstreams) {
		found = append(found, s.proxies[leads{d, nil}]...)
		for b := ours.block; b != nil; b = b.outer {
			found = append(found, s.proxies[leads{d, b}]...)
		}
	}
	slices.SortFunc(found, func(a, b proxy) int { return cmp.Compare(a.seq, b.seq) })
	found = slices.CompactFunc(found, func(a, b proxy) bool { return a.seq == b.seq })
	forAll := ours.block.lines[ours.at].unconditional()
	for _, p := range found {
		behind := forAll && p.block == ours.block && !s.before(ours, p.at)
		if !behind {
			by = append(by, p.word)
		}
	}
	return by
}

// destinations returns the upstreams of a line of reverse_proxy or php_fastcgi.
func (l line) destinations() []string {
	var all []string
	add := func(words line) {
		for _, w := range words {
			if w.text == "{" && !w.quoted {
				return
			}
			all = append(all, destinationsOf(w.text)...)
		}
	}
	first := l[1:]
	if m := l.matcher(); m != "" && m != unknownMatcher {
		first = l[2:]
	}
	add(first)
	for _, inner := range l.body() {
		if inner[0].text == "to" {
			add(inner[1:])
		}
	}
	return all
}

// mostPorts is how many ports of a range are checked.
const mostPorts = 100

// destinationsOf returns the addresses of an upstream, which may have a network
// in front and a range of ports.
func destinationsOf(address string) []string {
	a, err := caddy.ParseNetworkAddress(address)
	if err != nil || a.IsUnixNetwork() || a.PortRangeSize() < 2 && !strings.Contains(address, "tcp/") {
		return []string{destination(address)}
	}
	all := make([]string, 0, min(a.PortRangeSize(), mostPorts))
	for i := range cap(all) {
		all = append(all, destination(a.JoinHostPort(uint(i))))
	}
	return all
}

// destination returns an upstream's address without the parts that do not
// change where it leads: scheme, path, and the name of this machine.
func destination(address string) string {
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		scheme, rest = "", address
	}
	if strings.HasPrefix(rest, "unix/") || strings.Contains(rest, "{") {
		return rest
	}
	rest, _, _ = strings.Cut(rest, "/")
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		host, port = strings.Trim(rest, "[]"), "80"
		if scheme == "https" || scheme == "wss" {
			port = "443"
		}
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() || host == "" {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
