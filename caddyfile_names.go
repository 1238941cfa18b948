package wsgate

import (
	"encoding/json"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/wsgate/wsgate/gate"
)

// gateWord reads the gate's name.
func (p *directive) gateWord(d *caddyfile.Dispenser) error {
	if p.handler.Gate != "" {
		return d.Errf("gate is given twice, first at %s", place(p.gate))
	}
	p.gate = d.Token()
	if !d.Args(&p.handler.Gate) || d.NextArg() {
		return d.Err("gate: want one name")
	}
	if !gate.ValidName(p.handler.Gate) {
		return d.Errf("gate %q: want 1 to 64 letters, digits, '_', '.' or '-'", p.handler.Gate)
	}
	return noBlock(d, "gate")
}

// named is what is known of a gate while a Caddyfile is read.
type named struct {
	policy  *Policy
	at      caddyfile.Token // where the policy stands
	derived *caddyfile.Token
}

// name finds the directive's gate and joins it.
func (p *directive) name(pattern string) error {
	gates := p.gates()
	name := p.handler.Gate
	if name == "" {
		name = derivedName(pattern)
		p.handler.Gate = name
		if before := gates[name]; before != nil && before.derived != nil {
			return p.errf("two directives without a name would both be gate %q, this one and the one at %s: give them names with `gate <name>`", name, place(*before.derived))
		}
	}
	g := gates[name]
	if g == nil {
		g = new(named)
		gates[name] = g
	}
	if p.gate.Text == "" {
		start := p.start
		g.derived = &start
	}
	if !p.any() {
		return nil
	}
	if defined, ok := p.global()[name]; ok && !defined.same(&p.policy) {
		return p.errf("gate %q has its policy in the global option wsgate: leave it out here (%s), or there", name, place(p.first))
	}
	if g.policy != nil && !g.policy.same(&p.policy) {
		return p.errf("gate %q is told two different things, at %s and at %s: say it once", name, place(g.at), place(p.first))
	}
	if g.policy == nil {
		g.policy, g.at = &p.policy, p.first
	}
	p.handler.Policy = &p.policy
	return nil
}

// gates is what is known of all gates of the Caddyfile so far.
func (p *directive) gates() map[string]*named {
	const key = "wsgate.gates"
	gates, ok := p.helper.State[key].(map[string]*named)
	if !ok {
		gates = make(map[string]*named)
		p.helper.State[key] = gates
	}
	return gates
}

// global returns the gates of the global option.
func (p *directive) global() map[string]*Policy {
	option, ok := p.helper.Option("wsgate").(httpcaddyfile.App)
	if !ok {
		return nil
	}
	var app App
	if json.Unmarshal(option.Value, &app) != nil {
		return nil
	}
	return app.Gates
}

// derivedName is the last literal segment of a path pattern, else default.
func derivedName(pattern string) string {
	segments := strings.Split(pattern, "/")
	for i := len(segments) - 1; i >= 0; i-- {
		if s := segments[i]; s != "" && !strings.ContainsAny(s, "*{}") {
			if gate.ValidName(s) {
				return s
			}
			break
		}
	}
	return "default"
}

// paths returns the patterns of a matcher set's path matcher.
func paths(set caddy.ModuleMap) []string {
	var patterns []string
	if json.Unmarshal(set["path"], &patterns) != nil {
		return nil
	}
	return patterns
}

// firstPath returns the first pattern, which names the gate.
func firstPath(set caddy.ModuleMap) string {
	if patterns := paths(set); len(patterns) > 0 {
		return patterns[0]
	}
	return ""
}

// onlyPath returns the pattern of a matcher that is one pattern and nothing
// else, whose prefix can be replaced.
func onlyPath(set caddy.ModuleMap) string {
	if patterns := paths(set); len(patterns) == 1 && len(set) == 1 {
		return patterns[0]
	}
	return ""
}
