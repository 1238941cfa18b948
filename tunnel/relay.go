package tunnel

import (
	"errors"

	"github.com/wsgate/wsgate/tunnel/internal/sock"
)

// Wake is called by the set: the source has something, or has ended. Whoever
// has the turn may be writing to a peer that does not read, and the set waits
// for nobody: it calls again if the flow is still parked.
func (f *flow) Wake(b []byte) {
	if !f.turn.TryLock() {
		return
	}
	if !f.parked {
		f.source().Disarm() // a flow that was stopped, with something unread
		f.release()
		return
	}
	if b == nil { // the set cannot have it
		f.parked = false
		go f.pump()
		return
	}
	for {
		n, err := f.fill(b)
		if f.source().Pending() {
			f.other().flushPending()
		}
		if n > 0 && !f.pass(b[:n]) {
			return
		}
		switch {
		case err == nil:
		case errors.Is(err, sock.ErrWait):
			f.release()
			return
		default:
			if f.unpark(); f.sink().Tries() {
				f.finish(err)
			} else {
				go f.finish(err)
			}
			return
		}
	}
}

// fill reads what there is. A nil error: there may be more. The turn is held.
func (f *flow) fill(b []byte) (n int, err error) {
	src := f.source()
	n, err = src.TryRead(b)
	for n > 0 && n < len(b) && err == nil {
		var more int
		more, err = src.ReadOn(b[n:])
		n += more
	}
	if n == len(b) && src.Kind() == sock.Plain {
		err = sock.ErrWait // the set wakes the flow again
	}
	return n, err
}

// pass writes what was read, if it is taken at once. False: a pump goes on, and
// has the turn. The turn is held.
func (f *flow) pass(p []byte) bool {
	dst := f.sink()
	if !dst.Tries() || f.closing.Load() != nil {
		f.unpark()
		own := borrow(len(p))
		copy(own, p)
		go f.pumpFresh(own, len(p))
		return false
	}
	f.track(p)
	if f.is(muted) {
		return true
	}
	n, err := dst.TryWrite(p)
	f.bytes.Add(int64(n))
	switch {
	case n < len(p) || err != nil || dst.Pending():
		if f.up && err != nil {
			f.signal(sinkBroke, err) // a reset is reported once: a read would see a FIN
		}
		f.unpark()
		own := borrow(len(p) - n)
		copy(own, p[n:])
		go f.pumpTracked(own, len(p)-n)
		return false
	case f.isBulk(len(p)):
		f.unpark()
		go f.pump()
		return false
	}
	return true
}
