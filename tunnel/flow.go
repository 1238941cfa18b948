package tunnel

import (
	"bytes"
	"sync"
	"sync/atomic"

	"github.com/wsgate/wsgate/tunnel/internal/sock"
)

// What a flow has met. Bits of flow.met.
const (
	// closeSeen: a whole close frame of the source has passed.
	closeSeen uint32 = 1 << iota
	// eof: the source sends nothing more.
	eof
	// muted: nothing is forwarded from here on. Our close frame has gone, or
	// cannot go any more.
	muted
	// stopped: the tunnel has ended.
	stopped
	// finSent: the destination has been told the end of the source.
	finSent
	// detachDue: whoever gives up the turn tries to detach the connections.
	detachDue
)

// flow is one direction. Reading is the right of whoever runs it: the set
// while it is parked, else its pump. Writing is the right of whoever has the
// turn.
type flow struct {
	// Safe for concurrent use.
	bytes, messages atomic.Int64
	closing         atomic.Pointer[[]byte] // our close frame, which is still to go
	met             atomic.Uint32

	turn sync.Mutex // guards the fields below, and the right to write

	frames tracker

	t        *Tunnel // set once by New
	parkedAt uint32  // by the clock, in milliseconds, when a pump left; zero: none has
	largeAt  uint32  // when the first of some large reads came
	large    uint32  // how many bytes they had
	parked   bool
	up       bool // set once by New
}

func (f *flow) init(t *Tunnel, up bool) { f.t, f.up = t, up }

func (f *flow) source() *sock.Conn {
	if f.up {
		return &f.t.client
	}
	return &f.t.upstream
}

func (f *flow) sink() *sock.Conn {
	if f.up {
		return &f.t.upstream
	}
	return &f.t.client
}

// is reports whether the flow has met any of the bits.
func (f *flow) is(bits uint32) bool { return f.met.Load()&bits != 0 }

// signal has the tunnel's end take notice of what the flow has met.
func (f *flow) signal(s signal, err error) (fin bool) {
	return f.t.handle(input{signal: s, up: f.up, err: err})
}

// start begins to relay, with what came early.
func (f *flow) start(early []byte) {
	f.turn.Lock()
	if len(early) == 0 && f.source().Kind() == sock.Plain && f.park() {
		f.release()
		return
	}
	go f.pumpFirst(early)
}

// park has the set wake the flow. False: it has to wait by itself. The turn is
// held.
func (f *flow) park() bool {
	f.parked = !f.is(stopped) && f.source().Arm()
	return f.parked
}

// unpark takes the flow out of the set. The turn is held.
func (f *flow) unpark() {
	f.source().Disarm()
	f.parked = false
}

// release gives up the turn, and does what had to wait for that.
func (f *flow) release() {
	f.giveUp()
	if f.is(detachDue) {
		f.t.detach()
	}
}

// giveUp gives up the turn, and has written what had to wait for that: our close
// frame, and what TLS has answered its peer.
func (f *flow) giveUp() {
	f.turn.Unlock()
	if f.closing.Load() != nil {
		f.flushClose()
	}
	if f.sink().Pending() {
		f.flushPending()
	}
}

// other is the other direction.
func (f *flow) other() *flow {
	if f.up {
		return &f.t.down
	}
	return &f.t.up
}

// flushPending has a goroutine wait until the peer has taken what is pending. If
// the turn is taken, whoever has it calls flushPending when it gives it up.
func (f *flow) flushPending() {
	if !f.turn.TryLock() {
		return
	}
	switch {
	case !f.sink().Pending() || f.is(stopped):
		f.turn.Unlock()
	case f.parked:
		f.unpark()
		go f.pump()
	default: // a pump is reading, or the source has ended
		go f.flush()
	}
}

// stop ends the flow: nothing is read or written after it.
func (f *flow) stop() {
	f.turn.Lock()
	defer f.turn.Unlock()
	f.met.Or(stopped)
	f.closing.Store(nil)
	f.parked = false
}

// closeSource closes the flow's source, after both flows were stopped.
func (f *flow) closeSource(gently bool) {
	f.turn.Lock() // the set may still have events of it
	defer f.turn.Unlock()
	f.source().Close(gently)
}

// mute has everything discarded from now on: the destination is gone.
func (f *flow) mute() {
	f.met.Or(muted)
	f.closing.Store(nil)
}

// track runs bytes past the tracker. The turn is held.
func (f *flow) track(p []byte) {
	for len(p) > 0 {
		p = p[f.step(p):]
	}
}

// step runs bytes past the tracker up to the end of a frame, and returns how
// many. The turn is held.
func (f *flow) step(p []byte) int {
	n, payload, e := f.frames.step(p)
	if len(payload) > 0 && f.frames.header[0]&opcodeBits == opClose {
		f.keep(payload)
	}
	f.note(e)
	return n
}

// keep keeps payload of a close frame that is passing. The turn is held.
func (f *flow) keep(payload []byte) {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	if text := f.t.ends().text(f.up); text.Len()+len(payload) <= maxControl {
		text.Write(payload)
	}
}

// note takes notice of what the tracker met. The turn is held.
func (f *flow) note(e event) {
	switch e {
	case messageEnd:
		if f.is(muted) {
			return // discarded
		}
		f.messages.Add(1)
	case closeEnd:
		f.closePassed()
	}
}

// closePassed takes notice of the source's close frame. The turn is held.
func (f *flow) closePassed() {
	f.t.mu.Lock()
	text := bytes.Clone(f.t.ends().text(f.up).Bytes())
	f.t.ends().text(f.up).Reset()
	f.t.mu.Unlock()
	if key, masked := f.frames.key(); masked {
		mask(text, key)
	}
	var w words
	w.code, w.reason = parseClose(text)
	f.met.Or(closeSeen)
	f.t.handle(input{signal: closePassed, up: f.up, words: w})
}

// forward passes bytes on, and our close frame between two frames. The turn is
// held.
func (f *flow) forward(p []byte) error {
	for f.closing.Load() != nil {
		if err := f.writeClose(); err != nil || len(p) == 0 {
			return err
		}
		n := f.step(p) // at most to the end of this frame
		last := f.is(closeSeen)
		if last {
			f.dropClose()
		}
		err := f.write(p[:n])
		if last {
			f.met.Or(muted) // this frame has gone
		}
		if err != nil {
			return err
		}
		p = p[n:]
	}
	if len(p) == 0 {
		return nil
	}
	f.track(p)
	return f.write(p)
}

// write writes bytes that have passed the tracker. It waits for the destination,
// if it must. The turn is held.
func (f *flow) write(p []byte) error {
	if f.is(muted) {
		return nil
	}
	n, err := f.send(p)
	f.bytes.Add(int64(n))
	if err != nil {
		f.met.Or(muted) // a frame may be cut now: nothing more may follow
	}
	return err
}

// send writes p to the destination, and waits only where it must. The turn is
// held.
func (f *flow) send(p []byte) (n int, err error) {
	dst := f.sink()
	if !dst.Tries() {
		return dst.Write(p)
	}
	if n, err = dst.TryWrite(p); err != nil || n == len(p) && !dst.Pending() {
		return n, err
	}
	f.t.enter()
	m, err := 0, dst.Flush()
	if err == nil && n < len(p) {
		m, err = dst.Write(p[n:])
	}
	f.t.pumps.Add(-1) // the connections stay attached until a pump leaves
	f.met.Or(detachDue)
	return n + m, err
}
