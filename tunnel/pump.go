package tunnel

import (
	"errors"
	"os"
	"time"

	"github.com/wsgate/wsgate/tunnel/internal/sock"
)

// A pump moves what a flow has, and waits for its destination, until its source
// is quiet. Every pump begins with the turn, given to it by whoever started it.

const (
	// bulkPatience is how long a pump waits for more of what brought it: a stream
	// of large pieces, or a reader that is slow.
	bulkPatience = 20 * time.Millisecond
	// framePatience is for the rest of a large frame, which may be on its way: at
	// most twice as long.
	framePatience = time.Second
	// briskPatience is how long a pump waits that was parked less than brisk ago, if
	// its destination cannot be written without one. At most twice as long.
	briskPatience = time.Second
	brisk         = 200 * time.Millisecond
	// bulkBytes is how much must come in large reads within bulkPatience to be
	// worth a pump.
	bulkBytes = 128 << 10
)

// isBulk counts large reads, and reports whether so much has come at once that a
// pump is cheaper. The turn is held.
func (f *flow) isBulk(n int) bool {
	if n < spliceMin {
		return false
	}
	now := millis()
	if now-f.largeAt > uint32(bulkPatience.Milliseconds()) {
		f.large, f.largeAt = 0, now
	}
	f.large += uint32(n)
	return f.large >= bulkBytes
}

// pumpFirst begins a flow, with what came early. It reads what there is, which
// layers may have read already, and then has the flow parked.
func (f *flow) pumpFirst(early []byte) { f.run(borrow(0), f.forward(early), 0) }

// pump begins with what is still to leave.
func (f *flow) pump() {
	err := f.forward(nil)
	if err == nil && f.sink().Pending() {
		_, err = f.send(nil)
	}
	f.run(borrow(0), err, f.patience())
}

// pumpFresh begins with bytes that were just read.
func (f *flow) pumpFresh(b []byte, n int) { f.run(b, f.forward(b[:n]), f.patience()) }

// pumpTracked begins with bytes that have passed the tracker but were not
// taken by the destination.
func (f *flow) pumpTracked(b []byte, n int) { f.run(b, f.write(b[:n]), f.patience()) }

// run is the pump's loop. err is what the first write returned.
func (f *flow) run(b []byte, err error, patience time.Duration) {
	defer func() { giveBack(b) }()
	src := f.source()
	w := wait{patience: patience}
	if w.patience > 0 && src.Tries() {
		f.t.enter()
		defer f.t.leave()
	}
	if len(b) > f.mostAtOnce() { // the set reads more
		giveBack(b)
		b = borrow(f.mostAtOnce())
	}
	for {
		if err == nil && w.patience == bulkPatience {
			var broke error
			if broke, err = f.bulk(&w, &b); broke != nil {
				f.finish(broke)
				return
			}
		}
		f.release()
		if err != nil {
			f.signal(sinkBroke, err) // what still comes is tracked, not forwarded
		}
		var n int
		if w.patience == 0 && src.Tries() {
			f.turn.Lock()
			if !f.is(stopped) { // else the connection is closed
				n, err = f.fill(b)
			}
		} else {
			n, err = f.next(&w, &b)
			f.turn.Lock()
		}
		if src.Pending() { // TLS has answered its peer
			f.other().flushPending()
		}
		switch {
		case f.is(stopped):
			f.turn.Unlock()
			return
		case n > 0:
			err = f.forward(b[:n])
			if n == len(b) && n < f.mostAtOnce() { // there is more
				giveBack(b)
				b = borrow(f.mostAtOnce())
			}
		case errors.Is(err, sock.ErrWait):
			f.parkedAt = millis()
			if f.park() {
				f.release()
				return
			}
			if err = nil; w.patience == 0 { // the set cannot have it now
				w.patience = briskPatience
				f.t.enter()
				defer f.t.leave()
			}
		default:
			f.finish(err)
			return
		}
	}
}

// mostAtOnce is how large the pump's buffer gets.
func (f *flow) mostAtOnce() int {
	if f.source().Kind() == sock.Plain && f.sink().Kind() == sock.Plain {
		return plainSize
	}
	return bufferSize
}

// patience is how long a pump waits before it parks its flow; zero: it does not
// wait.
func (f *flow) patience() time.Duration {
	switch {
	case f.source().Tries() && f.sink().Tries():
		return bulkPatience
	case f.parkedAt != 0 && millis()-f.parkedAt < uint32(brisk.Milliseconds()):
		return briskPatience
	}
	return 0
}

// wait is how a pump waits for more. A deadline serves many reads, and is moved
// on before it is over while something comes: one that is over wakes a goroutine
// which has nothing to do.
type wait struct {
	patience time.Duration // at least as long, at most twice
	again    int64         // by the clock, when the deadline is to be moved on; zero: there is none
	piece    int           // what bulk moves at once
}

// next reads what comes next. ErrWait: nothing comes for a while, and the flow is
// to be parked. No turn is held.
func (f *flow) next(w *wait, b *[]byte) (n int, err error) {
	src := f.source()
	switch {
	case src.Kind() == sock.Opaque:
		return src.Read(*b)
	case src.Kind() == sock.Layered:
		if n, err = src.Probe(*b, &f.t.cutting); n > 0 || !errors.Is(err, sock.ErrWait) {
			return n, err
		}
		giveBack(*b) // while the socket is waited for
		err = src.Await()
		*b = borrow(0)
		if err != nil {
			return 0, err
		}
		return src.Read(*b)
	}
	if now := clock(); now >= w.again {
		w.again = now + int64(w.patience)
		src.SetReadDeadline(time.Now().Add(2*w.patience), &f.t.cutting)
	}
	n, err = src.Read(*b)
	for n > 0 && n < len(*b) && err == nil {
		var more int
		more, err = src.ReadOn((*b)[n:])
		n += more
	}
	if n > 0 {
		return n, nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && !f.t.cutting.Load() {
		w.rest(f)
		return 0, sock.ErrWait
	}
	return 0, err
}

// rest takes the deadline off.
func (w *wait) rest(f *flow) {
	if w.again != 0 {
		w.again = 0
		f.source().SetReadDeadline(time.Time{}, &f.t.cutting)
	}
}
