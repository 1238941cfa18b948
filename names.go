package wsgate

import (
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"go.uber.org/zap"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/words"
	"github.com/wsgate/wsgate/policy"
	"github.com/wsgate/wsgate/upstream"
)

// gateSoFar is what a Caddyfile has set for a gate so far.
type gateSoFar struct {
	policy  *policy.Policy
	at      string                    // where the policy begins, as errors show it
	derived *caddyfile.Token          // the directive that took its gate from its matcher
	named   map[string]namedDirective // its directives so far, by their names
}

// namedDirective is a directive with a name.
type namedDirective struct {
	at                       caddyfile.Token
	idle, lifetime, halfOpen caddy.Duration
}

// nameHandler gives the directive a name, by which its tunnels find it in the
// next configuration. Without the word name, it is the site's address and the
// matcher. Two directives with the same name must have the same limits, else
// they are refused: nobody could tell which of them a tunnel came through.
func (p *directive) nameHandler(g *gateSoFar) error {
	h := p.handler
	_, given := p.Seen["name"]
	if !given {
		var address string
		if all := p.site.Addresses; len(all) > 0 {
			address = all[0]
		}
		h.Name = strings.TrimSpace(address + " " + p.matcherText)
	}
	now := namedDirective{p.Start, h.IdleTimeout, h.MaxLifetime, h.HalfOpenTimeout}
	before, twice := g.named[h.Name]
	switch {
	case !twice:
		if g.named == nil {
			g.named = make(map[string]namedDirective)
		}
		g.named[h.Name] = now
	case before.idle != now.idle || before.lifetime != now.lifetime || before.halfOpen != now.halfOpen:
		return p.Errf("two directives of gate %q with the name %q have different limits, at %s and at %s: add `name <name>` to each of them, so that open tunnels find theirs after a reload", h.Gate, h.Name, words.Place(before.at), words.Place(p.Start))
	}
	return nil
}

// joinGate adds the directive to its gate, and its policy to the gate's.
func (p *directive) joinGate() error {
	gates := p.gatesSoFar()
	if p.handler.Gate == "" {
		if err := p.deriveGate(gates); err != nil {
			return err
		}
	}
	name := p.handler.Gate
	g := gates[name]
	if g == nil {
		g = p.globalPolicy(name)
		gates[name] = g
	}
	if _, named := p.Seen["gate"]; !named {
		start := p.Start
		g.derived = &start
	}
	if err := p.nameHandler(g); err != nil {
		return err
	}
	if err := p.checkID(); err != nil {
		return err
	}
	if err := p.checkCopies(); err != nil {
		return err
	}
	switch {
	case !p.Any():
	case g.policy == nil:
		g.policy, g.at = &p.Policy, words.Place(p.First)
		p.handler.Policy = &p.Policy
	case !g.policy.Same(&p.Policy):
		return p.Errf("gate %q has different policies at %s and at %s: write the policy once, or name another gate", name, g.at, words.Place(p.First))
	case p.Policy.ID != "": // the same policy again, with an @id of its own
		p.handler.Policy = &p.Policy
	}
	return nil
}

// matcherText returns the matcher of a directive as the Caddyfile has it. The
// helper is at the directive, and is not moved.
func matcherText(h httpcaddyfile.Helper) string {
	d := *h.Dispenser
	if d.NextArg() && (d.Val() == "*" || strings.HasPrefix(d.Val(), "/") || strings.HasPrefix(d.Val(), "@")) {
		return d.Val()
	}
	return ""
}

// checkID refuses an id that another directive or a gate of the global option
// has. Caddy would refuse it too, but only when it loads the configuration.
func (p *directive) checkID() error {
	id := p.Policy.ID
	if id == "" {
		return nil
	}
	const key = "wsgate.ids"
	ids, ok := p.helper.State[key].(map[string]string)
	if !ok {
		ids = make(map[string]string)
		p.helper.State[key] = ids
	}
	before, twice := ids[id]
	if o := p.option(); !twice && o.app.Gates[id] != nil {
		before, twice = o.places[id], true
	}
	if twice {
		return p.Errf("id %s is given at %s, too: want another, an @id may occur once in a configuration", id, before)
	}
	ids[id] = words.Place(p.Start)
	return nil
}

// checkCopies checks whether Caddy makes several handlers of the directive, all
// with the same policy. A patch of one of them would set two policies for the
// gate, and an @id may occur only once in a configuration.
func (p *directive) checkCopies() error {
	var why string
	switch {
	case !p.Any():
		return nil
	case p.helper.IsNamedRoute():
		why = "each site that invokes the route has one"
	case p.site.Listeners > 1:
		why = "each listener of the site's addresses has one"
	default:
		return nil
	}
	if p.Policy.ID != "" {
		return p.Errf("id %s: this directive becomes several handlers (%s), and an @id may occur once: write the policy in the global option, { wsgate { gate %s { … } } }", p.Policy.ID, why, p.handler.Gate)
	}
	caddy.Log().Named("caddyfile").Warn("the policy of this wsgate lands in several handlers: while Caddy runs it can be patched in the global option only",
		zap.String("gate", p.handler.Gate), zap.String("because", why), zap.String("file", p.Start.File), zap.Int("line", p.Start.Line),
		zap.String("remedy", "write the policy in the global option, { wsgate { gate "+p.handler.Gate+" { … } } }"))
	return nil
}

// deriveGate takes the gate's name from the matcher. It refuses a name that
// another directive without a name has: the two may not be meant to share a
// gate.
func (p *directive) deriveGate(gates map[string]*gateSoFar) error {
	name := derivedName(p.matchers)
	if p.helper.IsNamedRoute() { // Caddy parses it alone: the sites are not counted
		return p.Errf("in a named route the gate wants a name of its own: add `gate %s`, or another", name)
	}
	if before := gates[name]; before != nil && before.derived != nil {
		return p.Errf("two directives without a name would both belong to gate %q, at %s and at %s: add `gate <name>` to each of them, the same name to share a gate", name, words.Place(*before.derived), words.Place(p.Start))
	}
	p.handler.Gate = name
	return nil
}

// gatesSoFar returns what the Caddyfile has set for its gates so far.
func (p *directive) gatesSoFar() map[string]*gateSoFar {
	const key = "wsgate.gates"
	gates, ok := p.helper.State[key].(map[string]*gateSoFar)
	if !ok {
		gates = make(map[string]*gateSoFar)
		p.helper.State[key] = gates
	}
	return gates
}

// derivedName returns the last literal segment, if all patterns of a path
// matcher have the same one, else default.
func derivedName(set caddy.ModuleMap) string {
	var name string
	for _, pattern := range upstream.PathPatterns(set) {
		last := lastLiteral(pattern)
		if name != "" && last != name {
			return defaultGate
		}
		name = last
	}
	if !gate.ValidName(name) {
		return defaultGate
	}
	return name
}

// defaultGate is the gate of a directive that names none.
const defaultGate = "default"

// lastLiteral returns the last segment of a path pattern that has no wildcard.
func lastLiteral(pattern string) string {
	segments := strings.Split(pattern, "/")
	for i := len(segments) - 1; i >= 0; i-- {
		if s := segments[i]; s != "" && !strings.ContainsAny(s, "*{}") {
			return s
		}
	}
	return ""
}
