package tunnel

import "time"

// Counts are what was forwarded after the handshake. Up is towards the
// upstream. What a tunnel itself puts in is not counted.
type Counts struct{ BytesUp, BytesDown, MessagesUp, MessagesDown int64 }

// Add adds what another tunnel has forwarded.
func (c *Counts) Add(o Counts) {
	c.BytesUp += o.BytesUp
	c.BytesDown += o.BytesDown
	c.MessagesUp += o.MessagesUp
	c.MessagesDown += o.MessagesDown
}

// Raise takes what is higher, of counts that only go up.
func (c *Counts) Raise(o Counts) {
	c.BytesUp = max(c.BytesUp, o.BytesUp)
	c.BytesDown = max(c.BytesDown, o.BytesDown)
	c.MessagesUp = max(c.MessagesUp, o.MessagesUp)
	c.MessagesDown = max(c.MessagesDown, o.MessagesDown)
}

// Stats is how a tunnel goes.
type Stats struct {
	Counts
	// Opened is when New made the tunnel: who has it listed before it is started
	// may ask.
	Opened time.Time
}

// Result is how a tunnel went.
type Result struct {
	Stats
	// Duration from Opened to the end of both connections.
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
	return Stats{Counts: t.Counts(), Opened: began.Add(time.Duration(t.opened))}
}

// Counts returns what the tunnel has forwarded so far. They move while it is
// open, and are final when its owner is told of the end.
func (t *Tunnel) Counts() Counts {
	return Counts{
		BytesUp: t.up.bytes.Load(), BytesDown: t.down.bytes.Load(),
		MessagesUp: t.up.messages.Load(), MessagesDown: t.down.messages.Load(),
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
