package swallow

import (
	"slices"
	"strings"
)

// directiveOrder is the part of Caddy's directive order that can keep a
// handshake from wsgate. handle_path has the place of handle.
var directiveOrder = []string{"redir", "rewrite", "try_files", "handle", "route", "abort", "error", "respond", "metrics", "wsgate"}

// word is a token of a site, as it is in the Caddyfile.
type word struct {
	text   string
	file   string
	line   int
	quoted bool
}

// line is a directive with its arguments and its block.
type line []word

// blockers returns the directives that keep a handshake from wsgate.
func (s *Site) blockers(ours place, readsPath bool) (by []word) {
	for p := ours; p.block != nil; p = (place{p.block.outer, p.block.at}) {
		readsPath = readsPath || s.matchesPath(p.block.lines[p.at])
		for _, t := range p.block.takers {
			if t.at != p.at && s.before(p, t.at) && (readsPath || !t.pathOnly) {
				by = append(by, p.block.lines[t.at][0])
			}
		}
	}
	return by
}

// before reports whether line i of a block, which has no matcher, comes before
// the line that wsgate is in.
func (s *Site) before(p place, i int) bool {
	if p.block.inTextOrder {
		return i < p.at
	}
	ours := p.block.lines[p.at]
	mine, other := s.position(ours), s.position(p.block.lines[i])
	if mine == other { // a line with a matcher comes first
		return i < p.at && ours.unconditional()
	}
	return other >= 0 && other < mine
}

func (s *Site) position(l line) int {
	return slices.Index(s.order, strings.Replace(l[0].text, "handle_path", "handle", 1))
}

// blocks reports whether a line without a matcher keeps every handshake from
// the lines after it.
func (l line) blocks(readsPath bool) bool {
	switch l[0].text {
	case "rewrite", "try_files":
		return readsPath
	case "handle", "handle_path", "route":
		return slices.ContainsFunc(l.body(), func(inner line) bool {
			return inner.unconditional() && (inner.answers() || inner.blocks(false))
		})
	}
	return slices.Contains([]string{"redir", "abort", "error", "respond", "metrics"}, l[0].text)
}

// answers reports whether a directive answers every request.
func (l line) answers() bool {
	switch l[0].text {
	case "respond", "reverse_proxy", "php_fastcgi", "error", "abort", "metrics":
		return true
	case "file_server":
		return !slices.ContainsFunc(l, func(w word) bool { return w.text == "pass_thru" })
	}
	return false
}

// unconditional reports whether a line applies to every request.
func (l line) unconditional() bool {
	m := l.matcher()
	return m == "" || m == "*" || m == "/*"
}

// unknownMatcher stands for the matcher of a directive that Caddy has read
// before ours. Caddy has removed it from the tokens: those after it have moved
// up, and the last one occurs twice. The matcher itself is unknown.
const unknownMatcher = "@"

// matcher returns the line's matcher as the Caddyfile has it. Empty: none.
func (l line) matcher() string {
	dir := l[0].text
	if n := len(l); dir != "try_files" && n > 2 && l[n-1] == l[n-2] {
		return unknownMatcher
	}
	if dir == "try_files" || len(l) < 2 || dir == "rewrite" && len(l) == 2 {
		return "" // their only argument is the target
	}
	if m := l[1]; m.line == l[0].line && (m.text == "*" || strings.HasPrefix(m.text, "/") || strings.HasPrefix(m.text, "@")) {
		return m.text
	}
	return ""
}

// body returns the lines of a line's block.
func (l line) body() []line {
	open := slices.IndexFunc(l, func(w word) bool { return w.text == "{" && !w.quoted })
	if open < 0 {
		return nil
	}
	var lines []line
	depth := 0
	for i, w := range l[open+1:] {
		before := l[open+i]
		if w.text == "}" && !w.quoted {
			if depth--; depth < 0 {
				break
			}
		}
		if depth == 0 && (w.text != "}" || w.quoted) && (i == 0 || w.line != before.line || w.file != before.file) {
			lines = append(lines, nil)
		}
		if w.text == "{" && !w.quoted {
			depth++
		}
		if len(lines) > 0 {
			lines[len(lines)-1] = append(lines[len(lines)-1], w)
		}
	}
	return lines
}
