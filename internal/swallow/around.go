package swallow

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// bypasses returns the directives that lead handshakes to one of our upstream
// addresses without asking the gate. A directive after a wsgate that takes
// every handshake does not count, because none reaches it.
func (s site) bypasses(where []level, ours []string) []word {
	inner := where[len(where)-1]
	var by []word
	var walk func(lines []line, level int)
	walk = func(lines []line, depth int) {
		for i, l := range lines {
			switch l[0].text {
			case "reverse_proxy", "php_fastcgi", "forward_auth":
				behind := depth == len(where)-1 && &lines[0] == &inner.lines[0] && inner.lines[inner.at].unconditional() && !s.before(inner, i)
				if !behind && !s.excludesHandshakes(l) && slices.ContainsFunc(l.destinations(), func(d string) bool { return slices.Contains(ours, d) }) {
					by = append(by, l[0])
				}
			case "handle_errors": // a request that a handler in front refuses is still a handshake there
				walk(l.body(), len(where))
			case "handle", "handle_path", "route":
				switch {
				case depth < len(where)-1 && &lines[0] == &where[depth].lines[0] && i == where[depth].at:
					walk(where[depth+1].lines, depth+1)
				case !s.excludesHandshakes(l):
					walk(l.body(), len(where))
				}
			}
		}
	}
	walk(s.lines, 0)
	return by
}

// excludesHandshakes reports whether a line's matcher excludes handshakes, or
// is unknown. A matcher that selects handshakes does not exclude them.
func (s site) excludesHandshakes(l line) bool {
	m := l.matcher()
	if m == unknownMatcher {
		return true
	}
	for _, other := range s.lines {
		if strings.HasPrefix(m, "@") && other[0].text == m {
			names := slices.ContainsFunc(other, func(w word) bool {
				return strings.Contains(w.text, "ws_handshake") || strings.EqualFold(w.text, "Upgrade") || strings.EqualFold(w.text, "Connection")
			})
			return names && slices.ContainsFunc(other, func(w word) bool { return w.text == "not" || strings.ContainsAny(w.text, "!") })
		}
	}
	return false
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
