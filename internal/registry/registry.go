package registry

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/wsgate/wsgate/internal/ledger"
)

// reg is the process-wide registry.
var reg *registry

func init() { reg = newRegistry() }

// registry is everything that outlives a configuration.
type registry struct {
	// Set once by newRegistry.
	flags  flagSet
	ledger *ledger.Ledger
	exits  context.Context // ends when the process exits: nobody waits any longer
	exit   func()
	named  sync.Once // this node, in records
	tidier *tidier

	// Safe for concurrent use.
	ending
	lastID atomic.Uint64 // of a tunnel

	changing sync.Mutex // one configuration comes or goes at a time

	mu      sync.Mutex // guards the fields below
	entries map[string]*Entry
	past    map[string]past // of gates that were forgotten
	pasts   []string        // their names, in the order in which they were
	inForce []*Config       // oldest first; the last one answers
}

func newRegistry() *registry {
	r := &registry{entries: make(map[string]*Entry), past: make(map[string]past)}
	r.exits, r.exit = context.WithCancel(context.Background())
	r.ledger = r.newLedger()
	r.tidier = &tidier{after: tidyAfter, tidy: giveBack}
	r.lastID.Store(firstID())
	r.flags.init(r)
	return r
}

// Logger returns the logger of the configuration in force, or Caddy's own
// when there is none.
func Logger() *zap.Logger {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	return reg.logger()
}

// Emitter returns how the configuration in force tells handlers of Caddy's
// events. Nil: none is in force.
func Emitter() func(name string, data map[string]any) {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	if n := len(reg.inForce); n > 0 {
		return reg.inForce[n-1].Emit
	}
	return nil
}

func (r *registry) logger() *zap.Logger {
	if n := len(r.inForce); n > 0 && r.inForce[n-1].Logger != nil {
		return r.inForce[n-1].Logger
	}
	return caddy.Log().Named("http.handlers.wsgate")
}

// nameWait is how long a configuration waits for this node's name. What is said
// before it is known has a name that only this process has.
const nameWait = 250 * time.Millisecond

// name names this node in records, once.
func (r *registry) name(by func() string) {
	known := make(chan struct{})
	go func() {
		defer close(known)
		r.ledger.SetBy(by())
	}()
	limit := time.NewTimer(nameWait)
	defer limit.Stop()
	select {
	case <-known:
	case <-limit.C:
	}
}

// entry returns the entry of a name, made when it is new. r.mu is held.
func (r *registry) entry(name string) *Entry {
	e := r.entries[name]
	if e == nil {
		e = newEntry(r, name)
		r.takePast(e)
		r.entries[name] = e
	}
	return e
}

// forget drops an entry that nobody holds and nothing is left of. r.mu is held.
func (r *registry) forget(e *Entry) {
	if e.present || e.refs > 0 || r.entries[e.name] != e || !e.retire() {
		return
	}
	delete(r.entries, e.name)
	r.keepPast(e)
	e.follow.stop()
	if len(r.entries) == 0 && len(r.inForce) == 0 {
		for _, key := range r.ledger.UnbindReadOnly() { // a configuration that never was in force had brought them
			if name, ok := strings.CutPrefix(key, flagsPrefix); ok {
				r.flags.adopt(name)
			}
		}
	}
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
