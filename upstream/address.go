package upstream

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Address is a WebSocket upstream as an operator writes it.
type Address struct {
	// Secure is set for TLS towards the backend (wss://).
	Secure bool
	// Dial is the address in the form that reverse_proxy takes.
	Dial string
	// Path is the URL's path, escaped or with placeholders.
	Path string
	// HasPath is set if the address has a path, even if that is only /.
	HasPath bool
}

// ParseAddress reads ws://host[:port][/path], wss://host[:port][/path],
// host[:port], or a Caddy network address such as unix//run/chat.sock. The
// default port is 80 without TLS and 443 with TLS. A range of ports means
// several upstreams. Placeholders are allowed in the path of a URL, and
// anywhere in an address without a scheme.
func ParseAddress(s string) (Address, error) {
	if s == "" {
		return Address{}, errors.New("empty upstream address")
	}
	scheme, rest, found := strings.Cut(s, "://")
	if !found {
		return plainAddress(s)
	}
	var a Address
	switch strings.ToLower(scheme) {
	case "ws":
	case "wss":
		a.Secure = true
	case "http":
		return a, fmt.Errorf("upstream %q: want ws:// instead of http://", s)
	case "https":
		return a, fmt.Errorf("upstream %q: want wss:// instead of https://", s)
	default:
		return a, fmt.Errorf("upstream %q: unknown scheme %q: want ws:// or wss://", s, scheme)
	}
	host, path, hasPath := strings.Cut(rest, "/")
	if hasPath {
		a.Path, a.HasPath = "/"+path, true
	}
	if strings.ContainsAny(rest, "?#") {
		return a, fmt.Errorf("upstream %q: a query or a fragment has no place here: the handshake's own query is passed on", s)
	}
	if strings.Contains(host, "@") {
		return a, fmt.Errorf("upstream %q: no user or password in an address: use header_up Authorization", s)
	}
	if strings.ContainsAny(host, "{}") {
		return a, fmt.Errorf("upstream %q: host and port of a URL must be constant: placeholders may stand in its path", s)
	}
	err := a.finish(s, host)
	return a, err
}

// finish checks host and port, and the path.
func (a *Address) finish(s, host string) error {
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		name, port = host[:i], host[i+1:]
		if err := checkPort(port); err != nil {
			return fmt.Errorf("upstream %q: %w", s, err)
		}
	}
	if strings.HasPrefix(name, "[") && strings.HasSuffix(name, "]") {
		name = name[1 : len(name)-1]
		if strings.Contains(s, "://") {
			name = strings.Replace(name, "%25", "%", 1) // a zone in a URL (RFC 6874)
		}
		if ip, err := netip.ParseAddr(name); err != nil || !ip.Is6() {
			return fmt.Errorf("upstream %q: %q is no IPv6 address", s, name)
		}
	} else if err := checkHost(name); err != nil {
		return fmt.Errorf("upstream %q: %w", s, err)
	}
	if port == "" {
		port = "80"
		if a.Secure {
			port = "443"
		}
	}
	a.Dial = net.JoinHostPort(name, port)
	if !a.HasPath {
		return nil
	}
	parts, err := parsePath(a.Path)
	if err != nil {
		return fmt.Errorf("upstream %q: path: %w", s, err)
	}
	if len(parts) == 1 {
		a.Path = parts[0].text
	}
	return nil
}

// checkHost accepts a name or an IPv4 address. A name may have underscores or
// letters beyond ASCII, which the rules for hosts forbid and resolvers accept.
func checkHost(name string) error {
	if name == "" {
		return errors.New("no host")
	}
	if strings.ContainsAny(name, ":[]") {
		return fmt.Errorf("%q is no host: an IPv6 address stands in brackets", name)
	}
	if strings.Contains(name, ",") {
		return fmt.Errorf("%q is no host: several upstreams stand apart, each with its scheme", name)
	}
	digits := true
	for _, r := range name {
		digits = digits && (r == '.' || '0' <= r && r <= '9')
		switch {
		case r == '-', r == '_', r == '.', '0' <= r && r <= '9', 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
		case r < utf8.RuneSelf, r == utf8.RuneError, !unicode.IsPrint(r):
			return fmt.Errorf("%q is no host: %q has no place in one: want a name such as chat.internal, or an address", name, r)
		}
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if label == "" || label[0] == '-' {
			return fmt.Errorf("%q is no host: each part of a name begins with a letter or a digit", name)
		}
	}
	if _, err := netip.ParseAddr(name); digits && strings.Contains(name, ".") && err != nil {
		return fmt.Errorf("%q is no IPv4 address", name)
	}
	return nil
}

// checkPort accepts a port or a range of ports.
func checkPort(s string) error {
	from, to, ranged := strings.Cut(s, "-")
	low, err := portNumber(from)
	if err != nil || !ranged {
		return err
	}
	high, err := portNumber(to)
	if err != nil {
		return err
	}
	if high < low {
		return fmt.Errorf("port range %s ends before it begins", s)
	}
	if high-low > 1000 {
		return fmt.Errorf("port range %s: more than 1000 ports", s)
	}
	return nil
}

func portNumber(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16) // no sign
	if err != nil || n < 1 {
		return 0, fmt.Errorf("port %q: want 1 to 65535", s)
	}
	return int(n), nil
}

// plainAddress reads an address without a scheme, as reverse_proxy takes it.
func plainAddress(s string) (Address, error) {
	if strings.HasPrefix(s, "/") || s == ":" {
		return Address{}, fmt.Errorf("upstream %q: no host", s)
	}
	if port, found := strings.CutPrefix(s, ":"); found { // this machine, as in reverse_proxy
		if err := checkPort(port); err != nil {
			return Address{}, fmt.Errorf("upstream %q: %w", s, err)
		}
		return Address{Dial: s}, nil
	}
	if strings.HasPrefix(s, "unix/") || strings.HasPrefix(s, "unix+h2c/") || strings.Contains(s, "{") {
		if strings.Count(s, "{") != strings.Count(s, "}") {
			return Address{}, fmt.Errorf("upstream %q: a brace without its other: want a placeholder such as {env.BACKEND}", s)
		}
		if strings.HasPrefix(s, "unix+h2c/") {
			return Address{}, fmt.Errorf("upstream %q: h2c cannot carry an Upgrade: want unix/", s)
		}
		if strings.Trim(strings.TrimPrefix(s, "unix/"), "/") == "" {
			return Address{}, fmt.Errorf("upstream %q: no socket: want unix//run/chat.sock", s)
		}
		return Address{Dial: s}, nil
	}
	if i := strings.IndexByte(s, '/'); i >= 0 && !strings.HasPrefix(s, "tcp/") && !strings.HasPrefix(s, "fd/") {
		return Address{}, fmt.Errorf("upstream %q: an address with a path needs its scheme: ws://%s", s, s)
	}
	if !strings.Contains(s, "/") {
		var a Address
		err := a.finish(s, s)
		return a, err
	}
	return Address{Dial: s}, nil
}
