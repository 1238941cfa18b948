package tunnel

import (
	"bytes"
	"sync"
	"sync/atomic"
)

// What a flow has met. Bits of flow.met, set by whoever has the hand.
const (
	// sawClose: a whole close frame of the source has passed.
	sawClose uint32 = 1 << iota
	// ended: the source has nothing more.
	ended
	// told: our close frame is in, or cannot be put in any more. Nothing is
	// forwarded from here on.
	told
	// stopped: the tunnel has ended.
	stopped
	// unsaid: the source has nothing more, and the destination cannot be told
	// without ending both directions.
	unsaid
	// shut: the destination has been told the end of the source, and takes
	// nothing more.
	shut
)

// flow is one direction. Reading is the right of whoever runs it: the set
// while it is parked, else its pump. Writing is the right of whoever has the
// hand.
//
// What a message touches is together, and 64 bytes: a tunnel that has said
// nothing for a while is in nobody's cache.
type flow struct {
	// Safe for concurrent use.
	bytes, messages atomic.Int64
	order           atomic.Pointer[[]byte] // a close frame to be put in
	met             atomic.Uint32

	slot int32 // in the set; -1: the set does not have the source. Guarded by hand

	hand sync.Mutex // guards the fields below, and the right to write

	frames tracker

	t        *Tunnel // set once by New
	parkedAt uint32  // by the clock, in milliseconds, when a pump left; zero: none has
	parked   bool
	up       bool // set once by New
}

func (f *flow) init(t *Tunnel, up bool) { f.t, f.up, f.slot = t, up, -1 }

func (f *flow) source() *side {
	if f.up {
		return &f.t.client
	}
	return &f.t.upstream
}

func (f *flow) sink() *side {
	if f.up {
		return &f.t.upstream
	}
	return &f.t.client
}

// other is the other direction.
func (f *flow) other() *flow {
	if f.up {
		return &f.t.down
	}
	return &f.t.up
}

func (f *flow) is(bits uint32) bool { return f.met.Load()&bits != 0 }

// settled reports whether nothing more is to come from or through the flow.
func (f *flow) settled(closing bool) bool {
	if !closing {
		return f.is(ended)
	}
	return f.is(ended|sawClose) && f.order.Load() == nil
}

// start begins to relay, with what came early.
func (f *flow) start(early []byte) {
	f.hand.Lock()
	if len(early) == 0 && f.source().kind == plain && f.park() {
		f.release()
		return
	}
	go f.pump(early)
}

// count counts bytes that were written.
func (f *flow) count(n int) { f.bytes.Add(int64(n)) }

// track runs bytes past the tracker. The hand is held.
func (f *flow) track(p []byte) {
	for len(p) > 0 {
		p = p[f.step(p):]
	}
}

// step runs bytes past the tracker up to the end of a frame, and returns how
// many. The hand is held.
func (f *flow) step(p []byte) int {
	n, payload, e := f.frames.step(p)
	if len(payload) > 0 && f.frames.header[0]&opcodeBits == opClose {
		f.keep(payload)
	}
	f.note(e)
	return n
}

// keep keeps payload of a close frame that is passing. The hand is held.
func (f *flow) keep(payload []byte) {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	if text := f.t.ends().text(f.up); text.Len()+len(payload) <= maxControl {
		text.Write(payload)
	}
}

// note takes notice of what the tracker met. The hand is held.
func (f *flow) note(e event) {
	switch e {
	case messageEnd:
		if f.is(told) {
			return // discarded
		}
		f.messages.Add(1)
	case closeEnd:
		f.closed()
	}
}

// closed takes notice of the source's close frame. The hand is held.
func (f *flow) closed() {
	f.t.mu.Lock()
	text := bytes.Clone(f.t.ends().text(f.up).Bytes())
	f.t.ends().text(f.up).Reset()
	f.t.mu.Unlock()
	if key, masked := f.frames.key(); masked {
		mask(text, key)
	}
	v := verdict{by: ByUpstream}
	if f.up {
		v.by = ByClient
	}
	v.code, v.reason = parseClose(text)
	f.met.Or(sawClose)
	t := f.t
	t.mu.Lock()
	t.ends().judge(v)
	t.mu.Unlock()
	t.review()
}

// forward passes bytes on, and an order between two frames. The hand is held.
func (f *flow) forward(p []byte) error {
	for f.order.Load() != nil {
		if err := f.putIn(); err != nil || len(p) == 0 {
			return err
		}
		n := f.step(p) // at most to the end of this frame
		last := f.is(sawClose)
		if last {
			f.discharge()
		}
		err := f.write(p[:n])
		if last {
			f.met.Or(told) // this frame has gone
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

// write writes bytes that have passed the tracker. The hand is held.
func (f *flow) write(p []byte) error {
	if f.is(told) {
		return nil
	}
	n, err := f.sink().write(p)
	f.count(n)
	if err != nil {
		f.met.Or(told) // a frame may be cut now: nothing more may follow
	}
	return err
}

// deaf has everything discarded from now on: the destination is gone.
func (f *flow) deaf() {
	f.met.Or(told)
	f.order.Store(nil)
}

// halfClosed passes a FIN on. False: the destination cannot end one direction
// alone.
func (f *flow) halfClosed() bool {
	f.hand.Lock()
	defer f.release()
	if f.is(stopped) {
		return true
	}
	if !f.sink().closeWrite() {
		return false
	}
	f.met.Or(shut)
	return true
}

// stop ends the flow: nothing is read or written after it. Its source is about
// to be closed.
func (f *flow) stop() {
	f.hand.Lock()
	defer f.hand.Unlock()
	f.met.Or(stopped)
	f.order.Store(nil)
	if f.parked && !f.source().bare {
		f.unpark() // closing may take a while
	}
	f.parked = false
}
