package tunnel

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// lostGrace is how long the client of a lost upstream may take to answer.
	lostGrace = 5 * time.Second
	// closedGrace is how long peers that have closed by themselves may keep
	// their connections open.
	closedGrace = 10 * time.Second
	// halfOpen is how long a tunnel with one direction ended may carry nothing
	// in the other.
	halfOpen = 2 * time.Minute
)

// Peer is one side of a tunnel.
type Peer struct {
	// Conn is the connection. From Start on the tunnel alone uses and closes it.
	Conn net.Conn
	// Early is what was read from it already: it came with the handshake.
	Early []byte
}

// Options of a tunnel.
type Options struct {
	// Owner is told of the end. Nil: nobody asks.
	Owner Owner
}

// Owner is whoever keeps a tunnel.
type Owner interface {
	// Ended is called once, when both connections are closed, from a goroutine
	// of its own.
	Ended(Result)
}

// Tunnel is one accepted WebSocket connection, both sides together. Its
// methods are safe for concurrent use.
type Tunnel struct {
	// A message touches one flow and both sides, which lie between them.
	up               flow
	client, upstream side // set once by Start
	down             flow

	// Set once by New.
	owner  Owner
	opened int64 // by the clock

	cutting atomic.Bool // the connections are being closed
	set     *set        // where quiet flows wait; nil: each for itself. Set once by Start
	started bool        // guarded by mu

	mu    sync.Mutex // guards the fields below, and the sides' files
	quiet *quiet     // nil: nobody has asked
	end   *ending    // nil: nothing has happened
}

// ending is what a tunnel needs only when it comes to its end. Guarded by the
// tunnel's mu.
type ending struct {
	closing   *Closing // of its fields only Deadline changes
	timer     *time.Timer
	verdict   verdict
	lost      error // the upstream takes nothing more
	parting   bool  // both peers have closed, and are waited for
	halfBytes int64 // seen when a half-open tunnel was last looked at
	done      chan struct{}
	result    *Result
	texts     [2]bytes.Buffer // of close frames that are passing
	patience  time.Time       // of cut, with whoever still writes; zero: nothing is cut
}

// text is what has passed of a close frame.
func (e *ending) text(up bool) *bytes.Buffer {
	if up {
		return &e.texts[0]
	}
	return &e.texts[1]
}

// ends returns what is known of the tunnel's end. t.mu is held.
func (t *Tunnel) ends() *ending {
	if t.end == nil {
		t.end = new(ending)
	}
	return t.end
}

// verdict is who ended the tunnel, and with which words.
type verdict struct {
	by     By
	code   uint16
	reason string
	err    error
}

// New returns a tunnel that is still to be started.
func New(o Options) *Tunnel {
	t := &Tunnel{owner: o.Owner, opened: clock()}
	t.up.init(t, true)
	t.down.init(t, false)
	return t
}

// Start begins to relay and returns at once. A Close that came before is
// carried out now.
func (t *Tunnel) Start(client, upstream Peer) {
	t.take(client.Conn, upstream.Conn)
	t.mu.Lock()
	t.started = true
	var closing *Closing
	if t.end != nil {
		closing = t.end.closing
	}
	t.mu.Unlock()
	t.up.start(client.Early)
	t.down.start(upstream.Early)
	if closing != nil {
		t.carryOut(closing.Code, closing.Reason)
	}
}

// Wait returns when the tunnel has ended.
func (t *Tunnel) Wait() Result {
	t.mu.Lock()
	e := t.ends()
	if e.result != nil {
		defer t.mu.Unlock()
		return *e.result
	}
	if e.done == nil {
		e.done = make(chan struct{})
	}
	t.mu.Unlock()
	<-e.done
	return *e.result
}

// Close ends the tunnel: each side gets a close frame between two frames,
// nothing more is forwarded after it, and when both have answered, at the
// latest at the deadline, the connections are closed. Close does not wait for
// any of that, and never blocks. Of several calls the first one's words count;
// a later one with an earlier deadline shortens the wait.
func (t *Tunnel) Close(c Closing) {
	t.mu.Lock()
	e := t.ends()
	if e.closing != nil || e.result != nil {
		if e.closing != nil && c.Deadline.Before(e.closing.Deadline) {
			e.closing.Deadline = c.Deadline
			if e.timer != nil {
				t.after(time.Until(c.Deadline))
			}
		}
		t.mu.Unlock()
		return
	}
	e.closing = &c
	e.judge(verdict{by: c.By, code: c.Code, reason: TrimReason(c.Reason)})
	started := t.started
	t.mu.Unlock()
	if started {
		t.carryOut(c.Code, c.Reason)
	}
}

// carryOut puts the close frames in, and sees to it that the deadline is kept.
// Both flows have their order before a peer is told, whose answer would else
// pass for the close frame of the other.
func (t *Tunnel) carryOut(code uint16, reason string) {
	t.up.command(closeFrame(code, reason, true))
	t.down.command(closeFrame(code, reason, false))
	t.up.obey()
	t.down.obey()
	t.mu.Lock()
	t.after(time.Until(t.end.closing.Deadline))
	t.mu.Unlock()
	t.review()
}

// judge keeps the first word on how the tunnel ended, and what the first close
// frame says: it may come later, after a FIN.
func (e *ending) judge(v verdict) {
	switch {
	case e.verdict.by == "":
		e.verdict = v
	case e.verdict.err == nil:
		e.verdict.err = v.err
		if e.verdict.code == 0 {
			e.verdict.code, e.verdict.reason = v.code, v.reason
		}
	}
}

// after has the tunnel looked at again, unless it has ended. t.mu is held.
func (t *Tunnel) after(d time.Duration) {
	switch e := t.ends(); {
	case e.result != nil:
	case e.timer == nil:
		e.timer = time.AfterFunc(d, t.expire)
	default:
		e.timer.Reset(d)
	}
}

// moved is how many bytes have passed, both ways together.
func (t *Tunnel) moved() int64 { return t.up.bytes.Load() + t.down.bytes.Load() }

// expire is what the timer does.
func (t *Tunnel) expire() {
	t.mu.Lock()
	e := t.ends()
	both := t.up.is(sawClose) && t.down.is(sawClose)
	if moved := t.moved(); e.closing == nil && e.lost == nil && !both && moved != e.halfBytes {
		e.halfBytes = moved // a half-open tunnel that is still in use
		t.after(halfOpen)
		t.mu.Unlock()
		return
	}
	lost := e.lost
	if e.closing != nil {
		lost = nil
		if left := time.Until(e.closing.Deadline); left > 0 { // this timer was set before
			t.after(left)
			t.mu.Unlock()
			return
		}
	}
	t.mu.Unlock()
	if lost != nil {
		t.upstreamLost(lost)
		return
	}
	t.cut(false)
}

// review ends the tunnel if nothing more is to come. It does not wait for the
// end, which may want the caller's hand.
func (t *Tunnel) review() {
	if t.settled() {
		go t.cut(true)
	}
}

// settled reports whether nothing more is to come of what the flows have met,
// and else sees to it that a tunnel of which one half has ended is looked at
// again.
func (t *Tunnel) settled() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.ends()
	closing := e.closing != nil
	untold := e.lost != nil && !closing // upstreamLost is still to come
	if !untold && t.up.settled(closing) && t.down.settled(closing) || t.up.unsaid() || t.down.unsaid() {
		return true
	}
	if closing || e.lost != nil || e.result != nil {
		return false
	}
	switch {
	case t.up.is(sawClose) && t.down.is(sawClose):
		if !e.parting { // who closes again gains nothing by it
			e.parting = true
			t.after(closedGrace)
		}
	case t.up.is(ended) && t.up.owes(), t.down.is(ended) && t.down.owes():
		e.halfBytes = t.moved()
		t.after(closedGrace) // for the answer
	case t.up.is(ended) || t.down.is(ended):
		e.halfBytes = t.moved()
		t.after(halfOpen)
	}
	return false
}
