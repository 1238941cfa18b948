package tunnel

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// A pump moves what a flow has, with blocking writes, until its source is
// quiet. Every pump begins with the hand, given to it by whoever started it.

// pump begins with bytes that are still to be tracked, or with none: an order
// waits, or the source has something.
func (f *flow) pump(first []byte) {
	f.t.dress()
	f.run(borrow(0), f.forward(first))
}

// pumpFresh begins with bytes that were just read.
func (f *flow) pumpFresh(b []byte, n int) {
	f.t.dress()
	f.run(b, f.forward(b[:n]))
}

// pumpTracked begins with bytes that have passed the tracker but were not
// taken by the destination.
func (f *flow) pumpTracked(b []byte, n int) {
	f.t.dress()
	f.run(b, f.write(b[:n]))
}

// pumpOnce carries out an order beside a pump that is reading.
func (f *flow) pumpOnce() {
	err := f.putIn()
	f.release()
	if err != nil {
		f.t.sinkFailed(f, err)
	}
	f.t.review()
}

// run is the pump's loop. err is what the first write said.
func (f *flow) run(b []byte, err error) {
	defer func() { giveBack(b) }()
	l := f.linger()
	src := f.source()
	for {
		if err == nil {
			var broke error
			if broke, err = f.bulk(&l, b); broke != nil {
				f.finish(broke)
				return
			}
		}
		f.release()
		if err != nil {
			f.t.sinkFailed(f, err) // what still comes is tracked, not forwarded
		}
		var n int
		n, err = l.read(f.t, src, b)
		f.hand.Lock()
		switch {
		case f.is(stopped):
			f.hand.Unlock()
			return
		case errors.Is(err, errQuiet):
			f.parkedAt = millis()
			f.t.undress(f)
			if f.park() {
				f.release()
				return
			}
			f.t.dress()
			f.release()
			giveBack(b)
			err = f.await()
			b = borrow(0)
			f.hand.Lock()
			if err != nil {
				f.finish(err)
				return
			}
		case err != nil && n == 0:
			f.finish(err)
			return
		default:
			err = f.forward(b[:n])
			if n == len(b) && n < f.most() { // there is more
				giveBack(b)
				b = borrow(n + 1)
			}
		}
	}
}

// most is how large the pump's buffer gets.
func (f *flow) most() int {
	if f.source().kind == layered || f.sink().kind == layered {
		return recordsSize
	}
	return bufferSize
}

// finish ends the flow: the source has nothing more. The hand is held, and
// let go.
func (f *flow) finish(err error) {
	if isEnd(err) && f.brokeOff() {
		err = syscall.ECONNRESET
	}
	f.met.Or(ended)
	failed := f.putIn()
	if f.order.Load() != nil { // inside an unfinished frame: no place for it
		f.order.Store(nil)
		f.met.Or(told)
	}
	f.release()
	if failed != nil {
		f.t.sinkFailed(f, failed)
	}
	if isEnd(err) {
		err = nil
	}
	if f.t.cutting.Load() && (errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded)) {
		return
	}
	f.t.sourceEnded(f, err)
}
