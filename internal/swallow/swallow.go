// Package swallow answers: do handshakes reach the gate? While a Caddyfile is
// adapted, it reads the site around a wsgate directive. It warns of directives
// that take handshakes before wsgate does, and of directives that lead
// handshakes past the gate.
//
// Caddy's helper knows the site but gives no access, so it is read by
// reflection (ADR 8), once for all directives in it. With a Caddy that keeps it
// elsewhere there are no warnings.
package swallow

import (
	"encoding/json"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"go.uber.org/zap"
)

// Directive is a wsgate directive and its site.
type Directive struct {
	// Site is the site that it is in.
	Site *Site
	// Start is the first token of the directive.
	Start caddyfile.Token
	// Matchers are the directive's own matchers.
	Matchers caddy.ModuleMap
	// Dials are the addresses of its upstreams.
	Dials []string
}

// Warn warns of a directive that applies to every request, comes before wsgate
// and keeps handshakes from it, and of a directive beside wsgate that leads
// handshakes past the gate. The warnings go to the log, like reverse_proxy's
// own, because Caddy gives plugins no other way.
func (d Directive) Warn() {
	s := d.Site
	where, found := s.gates[word{text: d.Start.Text, file: d.Start.File, line: d.Start.Line}]
	if !found {
		return
	}
	logger := caddy.Log().Named("caddyfile").With(zap.String("file", d.Start.File), zap.Int("line", d.Start.Line))
	for _, by := range s.blockers(where, usesPath(d.Matchers)) {
		logger.Warn("a directive without a matcher comes before wsgate and takes its handshakes",
			zap.String("directive", by.text), zap.Int("directive_line", by.line),
			zap.String("remedy", "give it a matcher (@page not ws_handshake), or put both into a route block with wsgate first"))
	}
	var ours []string
	for _, dial := range d.Dials {
		ours = append(ours, destination(dial))
	}
	for _, by := range s.bypasses(where, ours) {
		logger.Warn("a route beside wsgate leads handshakes to the same upstream, past the gate",
			zap.String("directive", by.text), zap.Int("directive_line", by.line),
			zap.String("remedy", "give it a matcher that leaves them out: @page not ws_handshake"))
	}
}

// orderOf returns the order of directives: the operator's own, or Caddy's.
func orderOf(h httpcaddyfile.Helper) []string {
	if order, ok := h.Option("order").([]string); ok {
		return order
	}
	return directiveOrder
}

// usesPath reports whether a matcher uses the path. Then a rewrite before it
// changes what it sees.
func usesPath(set caddy.ModuleMap) bool {
	text, err := json.Marshal(set)
	return err == nil && strings.Contains(string(text), "path")
}
