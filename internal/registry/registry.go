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

// reg is the registry of the process.
var reg *registry

func init() { reg = newRegistry() }

// registry holds everything that outlives a configuration.
type registry struct {
	// Set once by newRegistry.
	flags     flagSet
	ledger    *ledger.Ledger
	exits     context.Context // ends when the process exits, and with it all waits
	exit      func()
	nodeNamed sync.Once // the name of this node is asked for once
	tidier    *tidier

	// Safe for concurrent use.
	exitState
	lastID atomic.Uint64 // of a tunnel

	changing sync.Mutex // held while a configuration begins or ends

	mu        sync.Mutex // guards the fields below
	entries   map[string]*Entry
	past      map[string]past // counts of gates that were forgotten
	pastNames []string        // of these gates, oldest first
	inForce   []*Config       // oldest first; the last one answers
}

func newRegistry() *registry {
	r := &registry{entries: make(map[string]*Entry), past: make(map[string]past)}
	r.exits, r.exit = context.WithCancel(context.Background())
	r.ledger = r.newLedger()
	r.tidier = &tidier{after: tidyAfter, tidy: freeMemory}
	r.lastID.Store(firstID())
	r.flags.init(r)
	return r
}

// Logger returns the logger of the configuration in force. If there is none, it
// returns Caddy's own.
func Logger() *zap.Logger {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	return reg.logger()
}

// AdminLogger returns the admin.api.wsgate logger of the configuration in force.
// If there is none, it returns Caddy's own.
func AdminLogger() *zap.Logger {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	if n := len(reg.inForce); n > 0 && reg.inForce[n-1].AdminLogger != nil {
		return reg.inForce[n-1].AdminLogger
	}
	return caddy.Log().Named("admin.api.wsgate")
}

// Emitter returns the function that calls the handlers of Caddy's events in the
// configuration in force. Nil: there is none.
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

// nameWait is how long a configuration waits for the name of this node. Records
// that are put before it is known have a name that only this process has.
const nameWait = 250 * time.Millisecond

// nameNode asks for the name of this node, for its records.
func (r *registry) nameNode(by func() string) {
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

// entry returns the entry of a name. If there is none, it makes one. r.mu is
// held.
func (r *registry) entry(name string) *Entry {
	e := r.entries[name]
	if e == nil {
		e = newEntry(r, name)
		r.takePast(e)
		r.entries[name] = e
	}
	return e
}

// forget drops an entry if no handler, no configuration and no tunnel needs it.
// r.mu is held.
func (r *registry) forget(e *Entry) {
	if e.present || e.refs > 0 || r.entries[e.name] != e || !e.retire() {
		return
	}
	delete(r.entries, e.name)
	r.keepPast(e)
	e.follow.stop()
	if len(r.entries) == 0 && len(r.inForce) == 0 {
		for _, key := range r.ledger.UnbindReadOnly() { // records of a configuration that never was in force
			if name, ok := strings.CutPrefix(key, flagsPrefix); ok {
				r.flags.adopt(name)
			}
		}
	}
}

// lookup returns a gate that operators can see. A configuration in force names
// it, or it still has tunnels.
func (r *registry) lookup(name string) (*Entry, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.entries[name]; e != nil && (e.present || e.Tunnels() > 0) {
		return e, nil
	}
	return nil, &UnknownGateError{Name: name, Known: r.names()}
}
