package wsgate

import (
	"encoding/json"
	"maps"
	"runtime"
	"sync"
	"weak"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/wsgate/wsgate/internal/words"
	"github.com/wsgate/wsgate/policy"
)

// globalOption is the global option wsgate while it is parsed.
type globalOption struct {
	app    App
	places map[string]caddyfile.Token // where each gate is defined
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
	if len(option.places) == 0 {
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
	if before, twice := o.places[name]; twice {
		return d.Errf("gate %q is defined twice, first at %s", name, words.Place(before))
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
	o.places[name] = p.Start
	return nil
}

// places remembers where the gates of a global option are defined. Caddy keeps
// only the option's JSON. So the key is the address of that JSON, and the entry
// is deleted when the JSON is freed.
var places sync.Map // weak.Pointer[byte] to map[string]caddyfile.Token

// value returns the option in the form that Caddy takes.
func (o *globalOption) value() httpcaddyfile.App {
	value := caddyconfig.JSON(&o.app, nil)
	key := weak.Make(&value[0])
	places.Store(key, o.places)
	runtime.AddCleanup(&value[0], func(key weak.Pointer[byte]) { places.Delete(key) }, key)
	return httpcaddyfile.App{Name: "wsgate", Value: value}
}

// readOption returns the option that value made, or an empty one.
func readOption(value any) *globalOption {
	o := &globalOption{
		app:    App{Gates: make(map[string]*policy.Policy)},
		places: make(map[string]caddyfile.Token),
	}
	app, ok := value.(httpcaddyfile.App)
	if !ok || json.Unmarshal(app.Value, &o.app) != nil {
		return o
	}
	if at, ok := places.Load(weak.Make(&app.Value[0])); ok {
		maps.Copy(o.places, at.(map[string]caddyfile.Token))
	}
	return o
}

// globalPolicy returns what the global option sets for a gate.
func (p *directive) globalPolicy(name string) *gateSoFar {
	o := readOption(p.helper.Option("wsgate"))
	policy := o.app.Gates[name]
	if policy == nil || policy.Empty() { // it only declares the gate
		return new(gateSoFar)
	}
	return &gateSoFar{policy: policy, at: o.places[name]}
}
