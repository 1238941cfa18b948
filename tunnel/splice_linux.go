package tunnel

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/wsgate/wsgate/tunnel/internal/sock"
)

const (
	// spliceMin is how much of a frame must be left to let the kernel move it:
	// below, two copies cost less than a pipe. A read of as much counts as large.
	spliceMin = 16 << 10
	// stallPatience is how long a pipe may wait for a destination that takes
	// nothing, at most twice as long. Then a buffer waits in its place.
	stallPatience = 100 * time.Millisecond
)

// bulk is a pump's way through large frames, which the kernel moves from socket
// to pipe to socket. It takes what there is, and reads where frames begin and
// end in a copy of the pipe.
type bulk struct {
	f       *flow
	in, out syscall.RawConn

	pipe sock.Pipe
	// most is how many bytes may go into it now, and sure how many even where the
	// destination has no room for them. That grows with one that makes room while it
	// is waited for: one that does not read at all is to hold little.
	most, sure int
	more       bool // the source had more than most

	full int   // bytes in the pipe
	give int   // of them, those that may go as they are
	err  error // of the last call between a socket and the pipe

	waited bool // the destination took nothing for a moment

	readAgain, writeAgain int64 // by the clock, when a deadline is to be moved on; zero: there is none

	head  [maxHeader]byte // of the next frame
	size  int             // of the header that was looked at where it lies; zero: none was
	broke error           // what reading failed with
}

// bulk moves the rest of a large frame that has begun, and large frames behind
// it. It returns when the next frame is small or nothing comes for a while.
// broke is what reading failed with, err what writing did. b is of use for what
// is not large. The turn is held, and given up between frames.
func (f *flow) bulk(w *wait, b *[]byte) (broke, err error) {
	src, dst := f.source(), f.sink()
	if f.frames.left < spliceMin || src.Kind() != sock.Plain || dst.Kind() != sock.Plain || f.is(muted) {
		return nil, nil
	}
	h := &bulk{f: f, sure: max(w.piece, sock.PipeLeast)}
	if h.in, err = src.Raw(); err != nil {
		return nil, nil //nolint:nilerr // copying is possible still
	}
	if h.out, err = dst.Raw(); err != nil {
		return nil, nil //nolint:nilerr // as above
	}
	w.rest(f) // inside a frame nobody hurries
	err = h.run(b)
	w.piece = h.sure
	return h.broke, err
}

func (h *bulk) run(own *[]byte) error {
	f := h.f
	for {
		if f.frames.boundary() {
			if err := f.writeClose(); err != nil {
				return err
			}
			f.release()
			large := h.awaitLarge()
			f.turn.Lock()
			if !large || f.is(stopped|muted) || f.closing.Load() != nil {
				return nil
			}
		}
		if !h.take() {
			return nil
		}
		h.walk()
		mixed := h.give < h.full
		err := h.drain(own)
		if err == nil {
			err = h.unload(*own)
		}
		if err != nil {
			f.met.Or(muted)
			h.trackRest(*own)
			return err
		}
		h.giveBack()
		if mixed || f.is(stopped|muted) {
			return nil
		}
	}
}

// take fills a pipe from the source, and waits until there is something. The
// pipe is borrowed only then. False: the source has nothing more or is quiet, or
// there is no pipe.
func (h *bulk) take() bool {
	if h.most = h.sure; h.more {
		h.most = min(max(h.sure, h.f.sink().Room()), sock.PipeMost)
	}
	h.full, h.err = 0, nil
	failed := h.in.Read(h.fill)
	if errors.Is(failed, os.ErrDeadlineExceeded) && !h.f.t.cutting.Load() {
		return false // the read that follows waits a little, and parks the flow
	}
	if h.err != nil {
		h.err = os.NewSyscallError("splice", h.err)
	}
	h.broke = errors.Join(failed, h.err)
	h.more = h.full >= h.most
	return h.full > 0
}

// fill is what take does when the source may have something.
func (h *bulk) fill(fd uintptr) bool {
	var err error
	if h.pipe, err = sock.BorrowPipe(); err != nil {
		return true // the read that follows needs none
	}
	most := uint64(h.most)
	if h.f.closing.Load() != nil { // which is to be put in behind this frame
		most = min(most, h.f.frames.left)
	}
	if h.full, h.err = h.pipe.Fill(int(fd), int(most)); h.full > 0 {
		return true
	}
	h.pipe.GiveBack()
	switch {
	case errors.Is(h.err, unix.EAGAIN):
		h.err = nil
		h.moveReads()
		return false
	case errors.Is(h.err, unix.ENOSYS), errors.Is(h.err, unix.EPERM), errors.Is(h.err, unix.EINVAL):
		h.err = nil // it may not be done here: the read that follows copies
	}
	return true
}

// moveReads moves the deadline of take on, now and then: it serves many waits.
// The read that follows bulk has one of its own.
func (h *bulk) moveReads() {
	if now := clock(); now >= h.readAgain {
		h.readAgain = now + int64(framePatience)
		h.f.source().SetReadDeadline(time.Now().Add(2*framePatience), &h.f.t.cutting)
	}
}

// walk tracks what is in the pipe, up to the first frame that is not large, or
// behind which an order is to be put in.
func (h *bulk) walk() {
	f := h.f
	if h.give = 0; h.size > 0 {
		h.give = min(h.size, h.full)
		f.track(h.head[:h.give])
		h.size = 0
	}
	h.pass()
	if h.give == h.full || f.closing.Load() != nil {
		return
	}
	c, ok := h.pipe.Copy(h.full)
	if !ok {
		return
	}
	gone := 0 // from the copy
	for h.give < h.full && c.Skip(h.give-gone) {
		n := c.Read(h.head[:])
		gone = h.give + n
		if n == 0 || !h.pastHeader(h.head[:n]) {
			break
		}
		h.pass()
	}
	if c.Skip(h.full - gone) {
		c.GiveBack()
	} else {
		c.Discard()
	}
}

// pass takes notice of the payload in the pipe that belongs to the frame that
// passes.
func (h *bulk) pass() {
	if n := min(h.f.frames.left, uint64(h.full-h.give)); n > 0 {
		h.f.note(h.f.frames.skip(int(n)))
		h.give += int(n)
	}
}

// pastHeader tracks what there is of the next header. False: its frame is not
// large, and nothing was tracked.
func (h *bulk) pastHeader(p []byte) bool {
	before := h.f.frames
	t := before
	n := t.takeHeader(p)
	if t.have == t.need && !t.large() {
		return false
	}
	h.f.frames = t
	h.give += n
	return true
}

// large reports whether a header is complete and that of a data frame that the
// kernel is to move.
func (t *tracker) large() bool {
	return t.left >= spliceMin && t.header[0]&opcodeBits <= opBinary
}

// unload forwards what is left in the pipe, which nobody has tracked.
func (h *bulk) unload(b []byte) error {
	for h.full > 0 {
		n := h.pipe.Read(b[:min(len(b), h.full)])
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		h.full -= n
		if err := h.f.forward(b[:n]); err != nil {
			return err
		}
	}
	return nil
}

// awaitLarge waits a little for a large frame: where one was, another follows.
func (h *bulk) awaitLarge() (large bool) {
	waited := false
	failed := h.in.Read(func(fd uintptr) bool { // not called when a deadline is over already
		var seen bool
		if seen, large = h.look(int(fd)); !seen && !waited {
			waited = true
			h.f.source().SetReadDeadline(time.Now().Add(bulkPatience), &h.f.t.cutting)
		}
		return seen
	})
	if waited {
		h.readAgain = 0
		h.moveReads()
	}
	return failed == nil && large
}

// look looks at the next header where it lies. An error of the connection is
// told once.
func (h *bulk) look(fd int) (seen, large bool) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&h.head[0])), maxHeader, unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return false, false
	case errno != 0:
		h.broke = os.NewSyscallError("recvfrom", errno)
		return true, false
	}
	var t tracker
	if h.size = t.takeHeader(h.head[:n]); !t.large() {
		h.size = 0
	}
	return true, h.size > 0
}
