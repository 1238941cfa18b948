package tunnel

import (
	"sync/atomic"
	"time"
)

// Totals are counters that several tunnels share. They move while the tunnels
// are open.
type Totals struct{ BytesUp, BytesDown, MessagesUp, MessagesDown atomic.Int64 }

// Stats count what a tunnel has forwarded after the handshake. Up is towards
// the upstream. What the tunnel itself puts in is not counted.
type Stats struct {
	BytesUp, BytesDown       int64
	MessagesUp, MessagesDown int64
	// Opened is when the tunnel was started.
	Opened time.Time
}

// Result is how a tunnel went.
type Result struct {
	Stats
	// Duration from Start to the end of both connections.
	Duration time.Duration
	// By is who ended it.
	By By
	// Code and Reason are those of the first close frame, whoever sent it.
	// Zero: there was none; 1005: it had no code.
	Code   uint16
	Reason string
	// Err is what broke, if something did.
	Err error
}

// Stats returns the counts so far.
func (t *Tunnel) Stats() Stats {
	return Stats{
		BytesUp: t.up.bytes.Load(), BytesDown: t.down.bytes.Load(),
		MessagesUp: t.up.messages.Load(), MessagesDown: t.down.messages.Load(),
		Opened: began.Add(time.Duration(t.opened)),
	}
}

// IdleFor returns how long no byte has moved, for somebody who asks regularly:
// zero if bytes have moved since the last call, else the time since the call
// that last saw them move. Asking costs two reads, moving bytes costs nothing.
func (t *Tunnel) IdleFor(now time.Time) time.Duration {
	moved := t.moved()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.quiet == nil || moved != t.quiet.moved {
		t.quiet = &quiet{moved: moved, since: now}
		return 0
	}
	return now.Sub(t.quiet.since)
}

// quiet is what somebody who asked has seen, and when.
type quiet struct {
	moved int64
	since time.Time
}
