package registry

import (
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/wsgate/wsgate/gate"
)

// reg is the process-wide registry.
var reg = newRegistry()

// registry is everything that outlives a configuration.
type registry struct {
	flags flagSet
	store *store

	mu      sync.Mutex // guards the fields below
	entries map[string]*Entry
	inForce []*Config // oldest first; the last one answers
}

func newRegistry() *registry {
	r := &registry{entries: make(map[string]*Entry), store: newStore()}
	r.flags.store = r.store
	return r
}

// Config is what one configuration wants, as its app knows it at Start.
type Config struct {
	// Gates by name, with their policies.
	Gates map[string]gate.Policy
	// Limits of each gate's handlers, by the key the handler gives to Admit.
	Limits map[string]map[string]LimitValues
	// Logger of http.handlers.wsgate in this configuration.
	Logger *zap.Logger
	// Storage of this configuration. Nil: nothing is stored.
	Storage Storage
}

// Begin puts c in force: from now on its policies answer handshakes. Nothing
// is done that End could not take back while another configuration is below it.
func Begin(c *Config) { reg.begin(c, time.Now()) }

// End takes c out of force, wherever it stands: below a newer configuration
// (a reload: the newer one is settled now), on top of an older one (a failed
// load: the older one answers again), or alone (its gates are gone, or the
// process is exiting). Calling it again does nothing.
func End(c *Config) { reg.end(c, time.Now()) }

// Logger returns the logger of the configuration in force, or Caddy's own
// when there is none.
func Logger() *zap.Logger {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	return reg.logger()
}

func (r *registry) logger() *zap.Logger {
	if n := len(r.inForce); n > 0 && r.inForce[n-1].Logger != nil {
		return r.inForce[n-1].Logger
	}
	return caddy.Log().Named("http.handlers.wsgate")
}

func (r *registry) begin(c *Config, now time.Time) {
	r.mu.Lock()
	r.inForce = append(r.inForce, c)
	alone := len(r.inForce) == 1
	entries := make([]*Entry, 0, len(c.Gates))
	for name := range c.Gates {
		e := r.entry(name)
		e.present = true
		entries = append(entries, e)
	}
	r.mu.Unlock()
	for _, e := range entries {
		e.remember()
		e.setLimits(c.Limits[e.name])
		e.setPolicy(c.Gates[e.name], now)
	}
	if alone {
		r.settle(c, now)
	}
}

func (r *registry) end(c *Config, now time.Time) {
	r.mu.Lock()
	at := -1
	for i := range r.inForce {
		if r.inForce[i] == c {
			at = i
		}
	}
	if at < 0 {
		r.mu.Unlock()
		return
	}
	wasTop := at == len(r.inForce)-1
	r.inForce = append(r.inForce[:at:at], r.inForce[at+1:]...)
	var top *Config
	if n := len(r.inForce); n > 0 {
		top = r.inForce[n-1]
	}
	settled := len(r.inForce) == 1
	r.mu.Unlock()

	switch {
	case top == nil && caddy.Exiting():
		Shutdown()
	case top == nil:
		r.settle(&Config{Logger: c.Logger, Storage: c.Storage}, now)
		r.watchExit()
	case wasTop:
		r.restore(top, c, now)
	case settled:
		r.settle(top, now)
	}
}

// restore puts an older configuration in force again after a failed load.
func (r *registry) restore(top, failed *Config, now time.Time) {
	r.mu.Lock()
	var again []*Entry
	for name := range top.Gates {
		again = append(again, r.entry(name))
	}
	for name := range failed.Gates {
		if _, kept := top.Gates[name]; !kept {
			if e := r.entries[name]; e != nil {
				e.present = false
				r.forget(e)
			}
		}
	}
	r.mu.Unlock()
	for _, e := range again {
		e.setLimits(top.Limits[e.name])
		e.setPolicy(top.Gates[e.name], now)
		e.resume()
	}
}

// settle does what could not be taken back: storage follows the configuration,
// closed gates treat their tunnels, and gates that are gone drain theirs.
func (r *registry) settle(c *Config, now time.Time) {
	moved := r.store.bind(c.Storage)
	r.flags.load()
	r.mu.Lock()
	var here, gone []*Entry
	for name, e := range r.entries {
		if _, ok := c.Gates[name]; ok {
			here = append(here, e)
		} else if e.present {
			e.present = false
			gone = append(gone, e)
		}
	}
	r.mu.Unlock()
	if moved {
		r.flags.rewrite()
	}
	for _, e := range here {
		if o := e.gate.Snapshot().Override; moved && o != nil {
			r.store.put(overrideKey(e.name), encode(o))
		}
		e.loadOverride()
		e.treat(now)
	}
	for _, e := range gone {
		e.remove(now)
		r.mu.Lock()
		r.forget(e)
		r.mu.Unlock()
	}
}

// settled reports whether one configuration alone is in force, so that what
// it says may be carried out.
func (r *registry) settled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.inForce) <= 1
}

// entry returns the entry of a name, made when it is new. r.mu is held.
func (r *registry) entry(name string) *Entry {
	e := r.entries[name]
	if e == nil {
		e = newEntry(r, name)
		r.entries[name] = e
	}
	return e
}

// forget drops an entry that nobody holds and nothing is left of. r.mu is held.
func (r *registry) forget(e *Entry) {
	if e.present || e.refs > 0 || e.Tunnels() > 0 || r.entries[e.name] != e {
		return
	}
	delete(r.entries, e.name)
	e.follow.stop()
}

// lookup returns a gate that an operator can see: one of the configuration in
// force, or one that has left it and still has tunnels.
func (r *registry) lookup(name string) (*Entry, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.entries[name]; e != nil && (e.present || e.Tunnels() > 0) {
		return e, nil
	}
	return nil, &UnknownGateError{Name: name, Known: r.names()}
}
