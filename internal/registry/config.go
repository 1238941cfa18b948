package registry

import (
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/events"
)

// Config is one configuration, as its app knows it at Start.
type Config struct {
	// Gates are the policies of the gates, by name.
	Gates map[string]gate.Policy
	// Limits of each gate's handlers, by the name that the handler passes to
	// Admit.
	Limits map[string]map[string]LimitValues
	// Upstreams of each gate's handlers. They are called for each status of the
	// gate.
	Upstreams map[string][]func() []UpstreamHealth
	// Logger is the http.handlers.wsgate logger of this configuration.
	Logger *zap.Logger
	// AdminLogger is the admin.api.wsgate logger of this configuration.
	AdminLogger *zap.Logger
	// Emit calls the handlers of Caddy's events. It may block. Nil: there are
	// none.
	Emit func(name string, data map[string]any)
	// Storage of this configuration. Nil: nothing is stored.
	Storage Storage
	// By returns the name of this node for records. It may block. Nil, or an
	// empty name: records get a name that only this process has.
	By func() string
	// Current reports whether the load of this configuration has succeeded. It
	// is asked if there is no older configuration, whose End would show it.
	// Nil: the load has succeeded.
	Current func() bool

	final bool // it cannot be taken back any more; guarded by reg.mu
}

// Begin puts c in force: its policies answer handshakes from now on. While an
// older configuration is there, Begin does only what End can undo.
func Begin(c *Config) { reg.begin(c, time.Now()) }

// End takes c out of force. If a newer configuration is there (a reload), the
// newer one becomes final. If an older one is there (a failed load), the older
// one answers again. If c is alone, its gates are removed, unless the process
// exits. A second call does nothing.
func End(c *Config) { reg.end(c, time.Now()) }

func (r *registry) begin(c *Config, now time.Time) {
	if c.By != nil {
		r.nodeNamed.Do(func() { r.nameNode(c.By) })
	}
	r.change(func() func() { return r.putInForce(c, now) })
}

// change runs do, which changes what is in force, under the lock. Then it runs
// read, which reads storage, without the lock.
func (r *registry) change(do func() (read func())) {
	r.changing.Lock()
	read := do()
	r.changing.Unlock()
	if read != nil {
		read()
	}
}

func (r *registry) putInForce(c *Config, now time.Time) (read func()) {
	r.mu.Lock()
	r.inForce = append(r.inForce, c)
	alone := len(r.inForce) == 1
	entries := make([]*Entry, 0, len(c.Gates))
	known := make(map[*Entry]bool, len(c.Gates))
	for name := range c.Gates {
		e := r.entry(name)
		known[e] = e.present
		e.present = true
		entries = append(entries, e)
	}
	r.mu.Unlock()
	for _, e := range entries {
		e.checkpoint(known[e])
		e.handlers.setLimits(c.Limits[e.name])
		e.setPolicy(c.Gates[e.name], now)
	}
	events.Default.ReplaceHung()
	switch {
	case !alone:
	case c.Current == nil:
		return r.finalize(c, now)
	default:
		go r.finalizeWhenCurrent(c)
	}
	return nil
}

// currentPoll is how often a configuration without an older one is asked
// whether its load has succeeded. A load takes some milliseconds.
const currentPoll = 2 * time.Millisecond

// finalizeWhenCurrent finalizes a configuration when its load has succeeded. It
// ends when the configuration is taken back. While a newer one is there, it
// waits, because the newer one may be taken back.
func (r *registry) finalizeWhenCurrent(c *Config) {
	tick := time.NewTicker(currentPoll)
	defer tick.Stop()
	for range tick.C {
		if r.tryFinalize(c) {
			return
		}
	}
}

// tryFinalize finalizes a configuration if its load has succeeded. done reports
// that finalizeWhenCurrent has nothing left to do.
func (r *registry) tryFinalize(c *Config) (done bool) {
	r.change(func() (read func()) {
		done, read = r.finalizeIfCurrent(c)
		return read
	})
	return done
}

func (r *registry) finalizeIfCurrent(c *Config) (done bool, read func()) {
	r.mu.Lock()
	waits := slices.Contains(r.inForce, c) && !c.final
	alone := len(r.inForce) == 1
	r.mu.Unlock()
	switch {
	case !waits:
		return true, nil
	case !alone || !c.Current():
		return false, nil
	}
	return true, r.finalize(c, time.Now())
}

func (r *registry) end(c *Config, now time.Time) {
	exits := false
	r.change(func() (read func()) {
		exits, read = r.takeOut(c, now)
		return read
	})
	if exits {
		Shutdown()
	}
}

// takeOut removes a configuration from those in force. exits reports that it
// was the last one, because the process exits.
func (r *registry) takeOut(c *Config, now time.Time) (exits bool, read func()) {
	r.mu.Lock()
	at := -1
	for i := range r.inForce {
		if r.inForce[i] == c {
			at = i
		}
	}
	if at < 0 {
		r.mu.Unlock()
		return false, nil
	}
	wasTop := at == len(r.inForce)-1
	r.inForce = append(r.inForce[:at:at], r.inForce[at+1:]...)
	var top *Config
	if n := len(r.inForce); n > 0 {
		top = r.inForce[n-1]
	}
	final := len(r.inForce) == 1
	tried := !c.final
	r.mu.Unlock()

	switch {
	case top == nil && caddy.Exiting():
		return true, nil
	case top == nil && tried:
		r.restore(new(Config), c, now)
	case top == nil:
		read = r.finalize(&Config{Storage: c.Storage}, now)
		r.watchExit()
	case wasTop:
		r.restore(top, c, now)
	case final:
		read = r.finalize(top, now)
	}
	return false, read
}

// restore puts the older configuration in force again after a failed load. An
// empty one: there was none.
func (r *registry) restore(top, failed *Config, now time.Time) {
	r.mu.Lock()
	var again, gone []*Entry
	for name := range top.Gates {
		again = append(again, r.entry(name))
	}
	for name := range failed.Gates {
		if _, kept := top.Gates[name]; !kept {
			if e := r.entries[name]; e != nil {
				e.present = false
				gone = append(gone, e)
				r.forget(e)
			}
		}
	}
	r.mu.Unlock()
	for _, e := range gone { // tunnels of an older configuration may be left, or of this one
		if e.onlyTried() {
			e.remove(now)
			continue
		}
		e.setPolicy(e.policyAtCheckpoint(), now)
		e.rollback()
	}
	for _, e := range again {
		e.handlers.setLimits(top.Limits[e.name])
		e.setPolicy(top.Gates[e.name], now)
		e.rollback()
		e.applyDeferred(now) // effects of changes that had to wait
	}
}

// finalize does what End cannot undo: it binds the ledger to the storage,
// drains the tunnels of closed gates, and removes gates that no configuration
// has. It returns a function that reads storage. Call it without the lock.
func (r *registry) finalize(c *Config, now time.Time) (read func()) {
	r.mu.Lock()
	c.final = true
	r.mu.Unlock()
	moved := r.ledger.Bind(placeOf(c.Storage))
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
	for _, e := range gone {
		e.remove(now)
		r.mu.Lock()
		r.forget(e)
		r.mu.Unlock()
	}
	return func() {
		ctx, cancel := whileRunning()
		defer cancel()
		r.ledger.AwaitRead(ctx)
		for _, e := range here {
			e.adopt()
			e.applyDeferred(time.Now())
		}
		if moved { // a crash must not lose the records that moved along
			r.ledger.Flush(ctx)
		}
	}
}

// isFinal reports whether the only configuration in force is final, so that its
// effects on tunnels may be carried out.
func (r *registry) isFinal() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.inForce) == 0 || len(r.inForce) == 1 && r.inForce[0].final
}
