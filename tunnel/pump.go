package tunnel

import (
	"errors"
	"net"
	"os"
)

// A pump moves what a flow has, with blocking writes, until its source is
// quiet. Every pump begins with the hand, given to it by whoever started it.

// pumpEarly begins with bytes that came with the handshake.
func (f *flow) pumpEarly(early []byte) { f.pump(early) }

// pumpTracked begins with bytes that have passed the tracker but were not
// taken by the destination.
func (f *flow) pumpTracked(b *buffer, n int) { f.run(b, f.write(b[:n])) }

// pumpFresh begins with bytes that were just read.
func (f *flow) pumpFresh(b *buffer, n int) { f.run(b, f.forward(b[:n])) }

// pumpOrder begins with an order.
func (f *flow) pumpOrder() { f.pump(nil) }

// pumpWoken begins with a source that has something.
func (f *flow) pumpWoken() { f.pump(nil) }

// pumpOnce carries out an order beside a pump that is reading.
func (f *flow) pumpOnce() {
	err := f.putIn()
	f.release()
	if err != nil {
		f.t.sinkFailed(f, err)
	}
	f.t.review()
}

// pumpEnded carries a source's end out of the set.
func (f *flow) pumpEnded(err error) { f.finish(err) }

// pump forwards first and goes on.
func (f *flow) pump(first []byte) { f.run(borrow(), f.forward(first)) }

// run is the pump's loop. err is what the first write said.
func (f *flow) run(b *buffer, err error) {
	defer func() { b.back() }()
	var l linger
	for {
		if err == nil {
			err = f.bulk()
		}
		f.release()
		if err != nil {
			f.t.sinkFailed(f, err) // what still comes is tracked, not forwarded
		}
		var n int
		n, err = f.read(b[:], &l)
		f.hand.Lock()
		switch {
		case f.is(stopped):
			f.hand.Unlock()
			return
		case errors.Is(err, errQuiet):
			if f.park() {
				f.release()
				return
			}
			f.release()
			b.back()
			err = f.await()
			b = borrow()
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
		}
	}
}

// read reads from the source. errQuiet: there is nothing just now.
func (f *flow) read(p []byte, l *linger) (int, error) {
	s := f.source()
	switch {
	case s.kind == opaque:
		return s.conn.Read(p)
	case s.kind == plain && f.sink().kind == plain:
		return s.tryRead(p)
	}
	return l.read(f.t, s, p)
}

// finish ends the flow: the source has nothing more. The hand is held, and
// let go.
func (f *flow) finish(err error) {
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
