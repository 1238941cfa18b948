package registry

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/events"
	"github.com/wsgate/wsgate/tunnel"
)

const (
	// exitGrace is how long tunnels may take to end when the process exits. With
	// what Caddy needs for itself the whole takes less than 4.5 s: service units
	// kill after 5 s.
	exitGrace = 2500 * time.Millisecond
	// exitLimit is how long Shutdown waits in all.
	exitLimit = 3200 * time.Millisecond
	// exitPoll is how often a process without any configuration of ours looks
	// whether it is exiting, while HTTP/2 or HTTP/3 tunnels are left.
	exitPoll = 200 * time.Millisecond
)

// shutdownReason is what peers are told when the process exits.
const shutdownReason = "server is shutting down"

// ending is what the end of the process has to know.
type ending struct {
	exiting  atomic.Bool
	once     sync.Once
	attached atomic.Int64 // handshakes under way, and tunnels that live in a handler (HTTP/2 and 3)
	watching atomic.Bool

	// Set before the first configuration.
	atShutdown func()
	atClose    func(name string, v gate.Verdict)
}

// Attach counts a handshake that is under way, or a tunnel whose handler has to
// stay (HTTP/2 and 3): Caddy waits for it when the process exits. The returned
// function takes it back.
func Attach() (detach func()) {
	r := reg
	r.attached.Add(1)
	return func() { r.attached.Add(-1) }
}

// AtShutdown names what a shutdown begins with, in place of what was named
// before. It must not block. Call it before the first configuration.
func AtShutdown(do func()) { reg.atShutdown = do }

// AtClose names what happens when a gate closes, in place of what was named
// before: its handshakes under way are refused. It must not block. Call it before
// the first configuration.
func AtClose(do func(name string, v gate.Verdict)) { reg.atClose = do }

// ExitVerdict refuses a handshake because the process is about to exit.
func ExitVerdict() gate.Verdict {
	return gate.Verdict{Cause: gate.CauseShutdown, Reason: shutdownReason, Text: shutdownReason}
}

// Shutdown ends every tunnel with close code 1001 because the process exits:
// nothing is admitted any more, each peer is sent a close frame, and after 2.5 s
// what is left is cut. It returns when all are gone and what was switched is
// stored, at the latest after 3.2 s. Any number of callers share one shutdown.
func Shutdown() {
	r := reg
	r.once.Do(func() {
		r.exiting.Store(true)
		r.exit()
		if r.atShutdown != nil {
			r.atShutdown()
		}
		r.shutdown(time.Now())
	})
}

func (r *registry) shutdown(now time.Time) {
	stored := make(chan struct{})
	go func() {
		defer close(stored)
		ctx, cancel := context.WithTimeout(context.Background(), exitGrace)
		defer cancel()
		r.ledger.Flush(ctx)
	}()
	r.mu.Lock()
	entries := make([]*Entry, 0, len(r.entries))
	for _, e := range r.entries {
		entries = append(entries, e)
	}
	r.mu.Unlock()
	c := tunnel.Closing{By: tunnel.ByShutdown, Code: codeGoingAway, Reason: shutdownReason, Deadline: now.Add(exitGrace)}
	for _, e := range entries {
		e.closeAll(c)
	}
	deadline := time.NewTimer(exitLimit)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for open := 1; open > 0; {
		open = 0
		for _, e := range entries {
			open += e.Tunnels()
		}
		if open == 0 {
			break
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return
		}
	}
	select {
	case <-stored:
	case <-deadline.C:
		return
	}
	ctx, cancel := context.WithDeadline(context.Background(), now.Add(exitLimit))
	defer cancel()
	events.Default.Flush(ctx)
}

// watchExit ends what is attached at exit when no configuration of ours is left
// to hear of it. It ends when that is gone.
func (r *registry) watchExit() {
	if r.attached.Load() == 0 || !r.watching.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer r.watching.Store(false)
		tick := time.NewTicker(exitPoll)
		defer tick.Stop()
		for r.attached.Load() > 0 {
			<-tick.C
			if caddy.Exiting() {
				Shutdown()
				return
			}
		}
	}()
}
