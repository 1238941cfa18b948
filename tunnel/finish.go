package tunnel

import (
	"errors"

	"github.com/wsgate/wsgate/tunnel/internal/sock"
)

// finish ends the flow: the source sends nothing more. The turn is held, and given
// up.
func (f *flow) finish(err error) {
	if sock.IsEnd(err) && f.brokeOff() {
		err = errReset
	}
	f.met.Or(eof)
	switch {
	case f.t.cutting.Load():
	case !sock.IsEnd(err):
		f.signal(sourceBroke, err)
	case f.signal(eofSeen, nil):
		f.passFIN()
	}
	f.release() // and our close frame goes now, or has no place any more
}

// passFIN tells the destination that the source has ended. The turn is held.
func (f *flow) passFIN() {
	if f.is(stopped) {
		return
	}
	ok, err := f.sink().CloseWrite()
	switch {
	case !ok: // an HTTP/2 or HTTP/3 stream
		f.signal(finRefused, nil)
		return
	case err != nil: // a read would not show it any more
		f.signal(sinkBroke, err)
	}
	f.met.Or(finSent)
}

// flush waits until the peer has taken what is pending. It begins with the turn.
func (f *flow) flush() {
	f.t.enter()
	err := f.sink().Flush()
	f.release()
	f.t.leave()
	if err != nil {
		f.signal(sinkBroke, err)
	}
}

// errReset is the error of a reset of which only a write was told.
var errReset = errors.New("connection reset by peer")

// brokeOff reports whether the upstream's end is no FIN, but what is left of a
// reset of which a write was told. Once both have ended the two look alike, and
// what comes behind a close frame is no loss: so the other flow is looked at
// again behind the answer, which its FIN may have made. The turn is held.
func (f *flow) brokeOff() bool {
	up := &f.t.up
	return !f.up && !f.is(closeSeen) && !up.is(eof) && f.source().WasReset() && !up.is(eof)
}
