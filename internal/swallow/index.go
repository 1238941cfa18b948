package swallow

import (
	"slices"
	"strings"
)

// block is a site, or the block of a handle or a route in it.
type block struct {
	lines       []line
	inTextOrder bool // the lines run in the order of the text
	errors      bool // it runs after a refusal: no wsgate in it counts
	takers      []taker

	// The line around the block. Nil: the block is the site.
	outer *block
	at    int
}

// taker is a line that applies to every request, and may keep it from the lines
// after it.
type taker struct {
	at       int
	pathOnly bool // only from those that read the path
}

// place is where a wsgate directive is.
type place struct {
	block *block
	at    int
}

// proxy is a directive that leads handshakes somewhere.
type proxy struct {
	word  word
	block *block
	at    int
	seq   int // its place among the proxies of the site
}

// leads is where proxies lead.
type leads struct {
	destination string
	// within is the innermost block around a proxy that no handshake enters, as
	// far as its matcher says. Only for a wsgate in that block it leads past the
	// gate. Nil: there is no such block.
	within *block
}

// matcher is what a named matcher says.
type matcher struct {
	readsPath          bool
	excludesHandshakes bool
}

func matcherOf(l line) (m matcher) {
	var names, negates bool
	for _, w := range l {
		m.readsPath = m.readsPath || strings.Contains(w.text, "path")
		names = names || strings.Contains(w.text, "ws_handshake") || strings.EqualFold(w.text, "Upgrade") || strings.EqualFold(w.text, "Connection")
		negates = negates || w.text == "not" || strings.ContainsAny(w.text, "!")
	}
	m.excludesHandshakes = names && negates
	return m
}

// read notes what is in a block, and in the blocks in it. within is as in leads.
func (s *Site) read(b *block) { s.readWithin(b, nil) }

func (s *Site) readWithin(b, within *block) {
	for i, l := range b.lines {
		if l.unconditional() && l.blocks(true) {
			b.takers = append(b.takers, taker{i, !l.blocks(false)})
		}
		inner := &block{outer: b, at: i, errors: b.errors}
		switch l[0].text {
		case "wsgate":
			if _, twice := s.gates[l[0]]; !twice && !b.errors {
				s.gates[l[0]] = place{b, i}
			}
		case "reverse_proxy", "php_fastcgi", "forward_auth":
			s.readProxy(proxy{l[0], b, i, s.count}, l, within)
		case "handle_errors": // a request that a handler in front refuses is still a handshake there
			inner.lines, inner.errors = l.body(), true
			s.readWithin(inner, within)
		case "handle", "handle_path", "route":
			inner.lines, inner.inTextOrder = l.body(), l[0].text == "route"
			if s.excludesHandshakes(l) {
				s.readWithin(inner, inner)
			} else {
				s.readWithin(inner, within)
			}
		}
	}
}

// readProxy notes where a proxy leads, unless its matcher excludes handshakes.
func (s *Site) readProxy(p proxy, l line, within *block) {
	if s.excludesHandshakes(l) {
		return
	}
	s.count++
	destinations := l.destinations()
	slices.Sort(destinations)
	for _, d := range slices.Compact(destinations) {
		key := leads{d, within}
		s.proxies[key] = append(s.proxies[key], p)
	}
}

// excludesHandshakes reports whether a line's matcher excludes handshakes, or
// is unknown. A matcher that selects handshakes does not exclude them.
func (s *Site) excludesHandshakes(l line) bool {
	m := l.matcher()
	return m == unknownMatcher || s.matchers[m].excludesHandshakes
}

// matchesPath reports whether a line around wsgate has a matcher that uses the
// path.
func (s *Site) matchesPath(l line) bool {
	m := l.matcher()
	if m == unknownMatcher || !strings.HasPrefix(m, "@") {
		return m != "" && m != "*" // most matchers use the path
	}
	return s.matchers[m].readsPath
}
