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

// site is the site around a directive.
type site struct {
	lines []line
	order []string
}

// level is one block around wsgate: its lines, the index of the line that has
// wsgate, and whether the lines run in the order of the text.
type level struct {
	lines       []line
	at          int
	inTextOrder bool
}

// find returns the blocks around a word, the outermost first.
func (s site) find(lines []line, what word) ([]level, bool) {
	for i, l := range lines {
		if l[0] == what {
			return []level{{lines: lines, at: i}}, true
		}
		if !slices.Contains([]string{"handle", "handle_path", "route"}, l[0].text) {
			continue
		}
		if inner, found := s.find(l.body(), what); found {
			inner[0].inTextOrder = l[0].text == "route"
			return append([]level{{lines: lines, at: i}}, inner...), true
		}
	}
	return nil, false
}

// blockers returns the directives that keep a handshake from wsgate.
func (s site) blockers(where []level, readsPath bool) []word {
	var by []word
	for _, l := range slices.Backward(where) {
		ours := l.lines[l.at]
		readsPath = readsPath || s.matchesPath(ours)
		for i, other := range l.lines {
			if i != l.at && other.unconditional() && s.before(l, i) && other.blocks(readsPath) {
				by = append(by, other[0])
			}
		}
	}
	return by
}

// before reports whether line i of a block, which has no matcher, comes before
// the line that wsgate is in.
func (s site) before(l level, i int) bool {
	if l.inTextOrder {
		return i < l.at
	}
	ours := l.lines[l.at]
	mine, other := s.position(ours), s.position(l.lines[i])
	if mine == other { // a line with a matcher comes first
		return i < l.at && ours.unconditional()
	}
	return other >= 0 && other < mine
}

func (s site) position(l line) int {
	return slices.Index(s.order, strings.Replace(l[0].text, "handle_path", "handle", 1))
}

// matchesPath reports whether a line around wsgate has a matcher that uses the
// path.
func (s site) matchesPath(l line) bool {
	m := l.matcher()
	if m == unknownMatcher || !strings.HasPrefix(m, "@") {
		return m != "" && m != "*" // most matchers use the path
	}
	for _, other := range s.lines {
		if other[0].text == m {
			return slices.ContainsFunc(other, func(w word) bool { return strings.Contains(w.text, "path") })
		}
	}
	return false
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
