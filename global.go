package wsgate

import (
	"encoding/json"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/wsgate/wsgate/internal/words"
	"github.com/wsgate/wsgate/policy"
)

// globalOption is the global option wsgate while it is parsed.
type globalOption struct {
	app    App
	places map[string]string // where each gate is defined, as errors show it
}

// parseGlobalOption reads
//
//	{
//	    wsgate {
//	        gate <name> {
//	            # policy words
//	        }
//	    }
//	}
//
// A second option wsgate adds its gates.
func parseGlobalOption(d *caddyfile.Dispenser, existing any) (any, error) {
	d.Next()
	if d.NextArg() {
		return nil, d.Errf("the global option wsgate takes no arguments, got %q: want a block of gates", d.Val())
	}
	option := readOption(existing)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Val() != "gate" {
			return nil, d.Err(unknownOption(d.Val()))
		}
		if err := option.gate(d.NextSegment()); err != nil {
			return nil, err
		}
	}
	if len(option.app.Gates) == 0 {
		return nil, d.Err("the global option wsgate is empty: want gate <name> { … }")
	}
	return option.value(), nil
}

// gate reads one gate.
func (o *globalOption) gate(seg caddyfile.Segment) error {
	d := words.Dispenser(seg...)
	p := policy.Words{Start: d.Token(), Seen: make(words.Once)}
	name, err := words.Name(d, "gate")
	if err != nil {
		return err
	}
	if d.NextArg() {
		return d.Errf("gate %s: one word too many: %q: want a block of policy words", name, d.Val())
	}
	if _, twice := o.app.Gates[name]; twice {
		return d.Errf("gate %q is defined twice, first at %s", name, o.places[name])
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := words.Dispenser(d.NextSegment()...)
		if word.Val() == "id" {
			return word.Errf("id: a gate of the global option has its own name as id, %q", name)
		}
		known, err := p.Word(word)
		if err != nil {
			return err
		}
		if !known {
			return word.Err(unknownInGate(word.Val(), name))
		}
	}
	p.WarnOfContradictions(name)
	p.Policy.ID = name
	o.app.Gates[name] = &p.Policy
	o.places[name] = words.Place(p.Start)
	return nil
}

// value returns the option in the form that Caddy takes. Caddy keeps only the
// option's JSON. So the places stand right after the JSON, in the same array,
// where only readOption looks for them.
func (o *globalOption) value() httpcaddyfile.App {
	value, places := caddyconfig.JSON(&o.app, nil), caddyconfig.JSON(o.places, nil)
	both := make(json.RawMessage, 0, len(value)+len(places))
	both = append(append(both, value...), places...)
	return httpcaddyfile.App{Name: "wsgate", Value: both[:len(value)]}
}

// readOption returns the option that value made, or an empty one.
func readOption(value any) *globalOption {
	o := &globalOption{
		app:    App{Gates: make(map[string]*policy.Policy)},
		places: make(map[string]string),
	}
	app, ok := value.(httpcaddyfile.App)
	if !ok || json.Unmarshal(app.Value, &o.app) != nil {
		return o
	}
	behind := app.Value[len(app.Value):cap(app.Value)]
	if err := json.Unmarshal(behind, &o.places); err != nil {
		clear(o.places) // another Caddy has copied the JSON: errors name no place
	}
	return o
}

// option returns the global option, which is read once for all directives.
func (p *directive) option() *globalOption {
	const key = "wsgate.option"
	o, ok := p.helper.State[key].(*globalOption)
	if !ok {
		o = readOption(p.helper.Option("wsgate"))
		p.helper.State[key] = o
	}
	return o
}

// globalPolicy returns what the global option sets for a gate.
func (p *directive) globalPolicy(name string) *gateSoFar {
	o := p.option()
	policy := o.app.Gates[name]
	if policy == nil || policy.Empty() { // it only declares the gate
		return new(gateSoFar)
	}
	return &gateSoFar{policy: policy, at: o.places[name]}
}
