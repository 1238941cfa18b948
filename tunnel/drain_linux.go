package tunnel

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wsgate/wsgate/tunnel/internal/sock"
)

// drain gives the destination what may go as it is, and waits until all is
// taken. While a destination takes nothing a buffer waits, and no pipe.
func (h *bulk) drain(b *[]byte) error {
	h.waited = false
	defer h.restWrites() // others write, too, once the turn is given up
	for h.give > 0 {
		h.err = nil
		failed := h.out.Write(h.drainNow)
		if errors.Is(failed, os.ErrDeadlineExceeded) && !h.f.t.cutting.Load() {
			h.sure = sock.PipeLeast
			return h.stall(b)
		}
		if err := errors.Join(failed, h.err); err != nil {
			return err
		}
	}
	if h.waited {
		h.sure = min(2*h.sure, sock.PipeMost)
	}
	return nil
}

// drainNow is what drain does when the destination may take something.
func (h *bulk) drainNow(fd uintptr) bool {
	var n int
	if n, h.err = h.pipe.Drain(int(fd), h.give); h.err == unix.EAGAIN { //nolint:errorlint // as the system says it
		h.err, h.waited = nil, true
		if now := clock(); now >= h.writeAgain {
			h.writeAgain = now + int64(stallPatience)
			h.f.sink().SetWriteDeadline(time.Now().Add(2*stallPatience), &h.f.t.cutting)
		}
		return false
	}
	h.f.bytes.Add(int64(n))
	h.give -= n
	h.full -= n
	return true
}

// restWrites takes the deadline of drain off.
func (h *bulk) restWrites() {
	if h.writeAgain != 0 {
		h.writeAgain = 0
		h.f.sink().SetWriteDeadline(time.Time{}, &h.f.t.cutting)
	}
}

// stall empties the pipe into a buffer, gives it back, and waits with the buffer.
func (h *bulk) stall(own *[]byte) error {
	giveBack(*own)
	*own = borrow(0) // while this one is held
	b := make([]byte, h.full)
	for n := 0; n < len(b); {
		m := h.pipe.Read(b[n:])
		if m == 0 {
			return io.ErrUnexpectedEOF
		}
		n += m
	}
	give := h.give
	h.giveBack()
	h.full, h.give = 0, 0
	h.restWrites()
	n, err := h.f.sink().Write(b[:give])
	h.f.bytes.Add(int64(n))
	if err != nil {
		h.f.met.Or(muted)
		h.f.track(b[give:])
		return err
	}
	return h.f.forward(b[give:])
}

// trackRest empties the pipe after a write that failed. What follows it is
// discarded, but its frames are still followed.
func (h *bulk) trackRest(b []byte) {
	if h.pipe == (sock.Pipe{}) {
		return
	}
	for tracked := h.give; h.full > 0; {
		n := h.pipe.Read(b[:min(len(b), h.full)])
		if n == 0 {
			break
		}
		h.full -= n
		skip := min(tracked, n)
		tracked -= skip
		h.f.track(b[skip:n])
	}
	h.discard()
}

// giveBack and discard let go of the pipe, which stall may have done already.
func (h *bulk) giveBack() {
	if h.pipe != (sock.Pipe{}) {
		h.pipe.GiveBack()
		h.pipe = sock.Pipe{}
	}
}

func (h *bulk) discard() {
	if h.pipe != (sock.Pipe{}) {
		h.pipe.Discard() // with what is still in it
		h.pipe = sock.Pipe{}
	}
}
