package registry

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/events"
	"github.com/wsgate/wsgate/tunnel"
)

const (
	// exitGrace is how long tunnels may take to end when the process exits.
	// Together with Caddy's own work the exit takes less than 4.5 s: service
	// units kill after 5 s.
	exitGrace = 2500 * time.Millisecond
	// exitLimit is how long Shutdown waits in all.
	exitLimit = 3200 * time.Millisecond
	// exitPoll is how often a process without a configuration of wsgate checks
	// whether it exits, while handshakes or HTTP/2 and HTTP/3 tunnels are left.
	exitPoll = 200 * time.Millisecond
)

// shutdownReason is the reason in close frames when the process exits.
const shutdownReason = "server is shutting down"

// exitState is what an exit needs.
type exitState struct {
	exiting  atomic.Bool
	once     sync.Once
	attached atomic.Int64 // handshakes under way, and tunnels that live in a handler (HTTP/2 and 3)
	watching atomic.Bool

	// Set before the first configuration.
	atShutdown func()
	atClose    func(name string, v gate.Verdict)
}

// Attach counts a handshake under way, or a tunnel whose handler has to stay
// (HTTP/2 and 3): Caddy waits for it when the process exits. detach undoes
// this.
func Attach() (detach func()) {
	r := reg
	r.attached.Add(1)
	return func() { r.attached.Add(-1) }
}

// AtShutdown sets the function that a shutdown calls first. It must not block.
// Call AtShutdown before the first configuration.
func AtShutdown(do func()) { reg.atShutdown = do }

// AtClose sets the function that is called when a gate closes, and refuses its
// handshakes under way. It must not block. Call AtClose before the first
// configuration.
func AtClose(do func(name string, v gate.Verdict)) { reg.atClose = do }

// ExitVerdict returns the verdict on a handshake while the process exits.
func ExitVerdict() gate.Verdict {
	return gate.Verdict{Cause: gate.CauseShutdown, Reason: shutdownReason, Text: shutdownReason}
}

// Shutdown closes all tunnels with code 1001, because the process exits. No
// gate admits a handshake any more. Each peer is sent a close frame, and after
// 2.5 s the remaining connections are cut. Shutdown returns when all tunnels
// are gone and what is not stored yet was tried once more, after 3.2 s at the
// latest. Several
// callers share one shutdown.
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
		r.logUnstored()
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

// logUnstored logs which switches and flags are lost, because the process exits.
func (r *registry) logUnstored() {
	var gates, flags []string
	for _, key := range r.ledger.Unstored() {
		if name, ok := strings.CutPrefix(key, gatesPrefix); ok {
			gates = append(gates, name)
		} else {
			flags = append(flags, strings.TrimPrefix(key, flagsPrefix))
		}
	}
	if len(gates)+len(flags) > 0 {
		logLine(zapcore.ErrorLevel, "exiting, and not everything is stored", zap.Strings("gates", gates), zap.Strings("flags", flags))
	}
}

// watchExit starts a goroutine that calls Shutdown when the process exits, if
// something is attached but no configuration of wsgate is left. It ends when
// nothing is attached.
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
