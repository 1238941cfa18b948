package tunnel

import (
	"bytes"
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wsgate/wsgate/tunnel/internal/sock"
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
	// HalfOpen returns how long the tunnel may carry nothing once one direction
	// has ended: zero stands for [DefaultHalfOpen], negative for no limit. It is
	// asked each time the tunnel is looked at, and must not block.
	HalfOpen() time.Duration
}

// Tunnel is one accepted WebSocket connection, both sides together. Its
// methods are safe for concurrent use.
type Tunnel struct {
	// A message touches one flow and both connections, which lie between them.
	up               flow
	client, upstream sock.Conn // taken once by Start
	down             flow

	// Set once by New.
	owner  Owner
	opened int64 // by the clock

	pumps   atomic.Int32 // who need the connections attached
	cutting atomic.Bool  // the connections are being closed
	started bool         // guarded by mu

	mu     sync.Mutex // guards the fields below
	quiet  *quiet     // nil: nobody has asked
	ending *ending    // nil: nothing has happened
}

// ending is what a tunnel needs only when it comes to its end. Guarded by the
// tunnel's mu.
type ending struct {
	end
	timer    *time.Timer
	done     chan struct{}
	result   *Result
	texts    [2]bytes.Buffer // of close frames that are passing
	patience time.Time       // of cut, with whoever still writes; zero: nothing is cut
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
	if t.ending == nil {
		t.ending = new(ending)
	}
	return t.ending
}

// New returns a tunnel that is still to be started.
func New(o Options) *Tunnel {
	t := &Tunnel{owner: o.Owner, opened: clock()}
	t.up.init(t, true)
	t.down.init(t, false)
	return t
}

// Dial connects as d does. Until free is called the end of ctx ends what is
// read and written; free reports whether that has not happened.
//
// On Linux a TCP address without a name gets a connection that waits in the set
// where its tunnel will; of d, its Timeout, Deadline and KeepAliveConfig count
// then. It is made for a handshake: one goroutine reads and writes, any may
// close it or set its deadline, which is one for both.
func Dial(ctx context.Context, d *net.Dialer, network, address string) (conn net.Conn, free func() bool, err error) {
	return sock.Dial(ctx, d, network, address)
}

// Start begins to relay and returns at once. A Close that came before is
// carried out now.
func (t *Tunnel) Start(client, upstream Peer) {
	set := sock.SetFor(upstream.Conn)
	client.Early = append(client.Early, t.client.Take(client.Conn, set, &t.up)...)
	upstream.Early = append(upstream.Early, t.upstream.Take(upstream.Conn, set, &t.down)...)
	t.mu.Lock()
	asked := t.ending != nil && t.ending.closing
	late := t.ending != nil && t.ending.cut != notCut
	t.started = !late
	t.mu.Unlock()
	if late { // its deadline has passed
		t.client.Close(false)
		t.upstream.Close(false)
		return
	}
	t.up.start(client.Early)
	t.down.start(upstream.Early)
	if asked {
		t.handle(input{signal: begun})
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
	left := min(max(time.Until(c.Deadline), 0), farOff)
	t.handle(input{signal: closeAsked, by: c.By, words: words{c.Code, TrimReason(c.Reason)}, deadline: clock() + int64(left)})
}

// farOff is as far off as a deadline is counted.
const farOff = 100 * 365 * 24 * time.Hour

// handle does what a signal leads to. It never blocks. Hands may be held; what
// cannot be done for that is done when they are let go. fin reports that the FIN
// of the signal's direction is to be passed on.
func (t *Tunnel) handle(in input) (fin bool) {
	t.mu.Lock()
	e := t.ends()
	if e.result != nil {
		t.mu.Unlock()
		return false
	}
	in.now, in.moved, in.started, in.halfOpen = clock(), t.moved(), t.started, t.halfOpen()
	do := e.step(in)
	if do.timer != 0 {
		t.arm(do.timer - in.now)
	}
	w := e.words
	t.mu.Unlock()
	if do.muteUp {
		t.up.mute()
	}
	// Both have their close frame queued before a peer gets one, whose answer
	// would else pass for the close frame of the other.
	if do.queueUp {
		t.up.queueClose(w)
	}
	if do.queueDown {
		t.down.queueClose(w)
	}
	if do.queueUp {
		t.up.flushClose()
	}
	if do.queueDown {
		t.down.flushClose()
		if t.down.is(detachDue) { // it had the turn meanwhile
			t.detach()
		}
	}
	if do.cut != notCut {
		go t.cut(do.cut == cutGently)
	}
	return do.fin
}

// halfOpen is how long the tunnel may be silent once one direction has ended.
func (t *Tunnel) halfOpen() time.Duration {
	if t.owner != nil {
		if d := t.owner.HalfOpen(); d != 0 {
			return d
		}
	}
	return DefaultHalfOpen
}

// arm has the end looked at again after a time. t.mu is held.
func (t *Tunnel) arm(after int64) {
	if e := t.ending; e.timer == nil {
		e.timer = time.AfterFunc(time.Duration(after), t.expire)
	} else {
		e.timer.Reset(time.Duration(after))
	}
}

// expire is what the timer does.
func (t *Tunnel) expire() { t.handle(input{signal: timeUp}) }

// moved is how many bytes have passed, both ways together.
func (t *Tunnel) moved() int64 { return t.up.bytes.Load() + t.down.bytes.Load() }

// cut closes both connections and ends the tunnel. Gently: everything was
// said. Otherwise whoever is still writing is torn away.
func (t *Tunnel) cut(gently bool) {
	if !t.cutting.CompareAndSwap(false, true) {
		if !gently {
			t.hurry()
		}
		return
	}
	patience := time.Now()
	if gently {
		patience = patience.Add(lostGrace) // a last frame may still be on its way out
	}
	t.mu.Lock()
	e := t.ends()
	if e.patience.IsZero() { // else somebody hurries already
		e.patience = patience
	}
	patience = e.patience
	started := t.started // else Start closes them
	t.mu.Unlock()
	if started {
		t.client.Abort(patience)
		t.upstream.Abort(patience)
		t.up.stop()
		t.down.stop()
		t.up.closeSource(gently)
		t.down.closeSource(gently)
	}

	t.mu.Lock()
	if e.timer != nil {
		e.timer.Stop()
	}
	e.judge(verdict{by: ByError})
	v := e.verdict
	e.result = &Result{
		Stats: t.Stats(), Duration: time.Duration(clock() - t.opened),
		By: v.by, Code: v.code, Reason: v.reason, Err: v.err,
	}
	res, done := *e.result, e.done
	t.mu.Unlock()
	if t.owner != nil {
		t.owner.Ended(res)
	}
	if done != nil {
		close(done)
	}
}

// hurry has a cut that goes on gently wait for nobody any more.
func (t *Tunnel) hurry() {
	t.mu.Lock()
	t.ends().patience = past
	t.mu.Unlock()
	t.client.Abort(past)
	t.upstream.Abort(past)
	t.up.stop()
	t.client.HangUp()
	t.down.stop()
	t.upstream.HangUp()
}

// patience is how long whoever still writes may do so; zero: for ever.
func (t *Tunnel) patience() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ending == nil {
		return time.Time{}
	}
	return t.ending.patience
}

// enter attaches the connections for a pump that has to wait for them, until it
// calls leave. A turn is held.
func (t *Tunnel) enter() {
	t.pumps.Add(1)
	if !t.client.Tries() && !t.upstream.Tries() {
		return
	}
	patience := t.patience()
	t.client.Attach(patience)
	t.upstream.Attach(patience)
	if again := t.patience(); again != patience { // a cut has begun meanwhile
		t.client.Abort(again)
		t.upstream.Abort(again)
	}
}

// leave undoes enter, and detaches the connections if nobody needs them any
// more. No turn is held.
func (t *Tunnel) leave() {
	if t.pumps.Add(-1) == 0 && (t.client.Tries() || t.upstream.Tries()) {
		t.detach()
	}
}

// detach detaches the connections unless somebody needs them. It needs both
// turns. Where one is taken, whoever has it calls detach when it gives it up.
func (t *Tunnel) detach() {
	t.up.met.Or(detachDue)
	t.down.met.Or(detachDue)
	if !t.up.turn.TryLock() {
		return
	}
	if !t.down.turn.TryLock() {
		t.up.giveUp()
		return
	}
	t.up.met.And(^detachDue)
	t.down.met.And(^detachDue)
	if t.pumps.Load() == 0 && !t.cutting.Load() {
		t.client.Detach()
		t.upstream.Detach()
	}
	t.down.giveUp()
	t.up.giveUp()
}
