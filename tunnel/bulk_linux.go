package tunnel

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// spliceMin is how much of a frame must be left to let the kernel move it:
// below, two copies cost less than a pipe.
const spliceMin = 16 << 10

// haul is a pump's way through large frames, which the kernel moves from socket
// to pipe to socket. It takes what there is, and reads where frames begin and
// end in a copy of the pipe.
type haul struct {
	f       *flow
	in, out syscall.RawConn

	pipe pipe
	full int   // bytes in the pipe
	give int   // of them, those that may go as they are
	err  error // of the last call between a socket and the pipe

	again int64 // by the clock, when take's deadline is to be moved on; zero: there is none

	head  [maxHeader]byte // of the next frame
	size  int             // of the header that was looked at where it lies; zero: none was
	broke error           // what reading failed with
}

// bulk moves the rest of a large frame that has begun, and large frames behind
// it. It returns when the next frame is small or nothing comes for a while.
// broke is what reading failed with, err what writing did. b is of use for what
// is not large. The hand is held, and let go between frames.
func (f *flow) bulk(l *linger, b []byte) (broke, err error) {
	src, dst := f.source(), f.sink()
	if f.frames.left < spliceMin || src.kind != plain || dst.kind != plain || f.is(told) {
		return nil, nil
	}
	h := &haul{f: f}
	if h.in, err = src.raw(); err != nil {
		return nil, nil //nolint:nilerr // the way of other connections is open
	}
	if h.out, err = dst.raw(); err != nil {
		return nil, nil //nolint:nilerr // as above
	}
	l.rest(f.t, src) // inside a frame nobody hurries
	err = h.run(b)
	return h.broke, err
}

func (h *haul) run(b []byte) error {
	f := h.f
	for {
		if f.frames.boundary() {
			if err := f.putIn(); err != nil {
				return err
			}
			f.release()
			large := h.coming()
			f.hand.Lock()
			if !large || f.is(stopped|told) || f.order.Load() != nil {
				return nil
			}
		}
		if !h.take() {
			return nil
		}
		h.walk()
		mixed := h.give < h.full
		err := h.drain()
		if err == nil && mixed {
			err = h.unload(b)
		}
		if err != nil {
			h.pipe.close() // with what is still in it
			f.met.Or(told)
			return err
		}
		h.pipe.back()
		if mixed || f.is(stopped|told) {
			return nil
		}
	}
}

// take fills a pipe from the source, and waits until there is something. The
// pipe is borrowed only then. False: the source has nothing more or is quiet, or
// there is no pipe.
func (h *haul) take() bool {
	h.full, h.err = 0, nil
	failed := h.in.Read(h.fill)
	if errors.Is(failed, os.ErrDeadlineExceeded) && !h.f.t.cutting.Load() {
		return false // the read that follows waits a little, and parks the flow
	}
	if h.err != nil {
		h.err = os.NewSyscallError("splice", h.err)
	}
	h.broke = errors.Join(failed, h.err)
	return h.full > 0
}

// fill is what take does when the source may have something.
func (h *haul) fill(fd uintptr) bool {
	var err error
	if h.pipe, err = borrowPipe(); err != nil {
		return true // the read that follows needs none
	}
	most := uint64(pipeSize)
	if h.f.order.Load() != nil { // which is to be put in behind this frame
		most = min(most, h.f.frames.left)
	}
	if h.full, h.err = splice(int(fd), h.pipe.w, int(most)); h.full > 0 {
		return true
	}
	h.pipe.back()
	switch {
	case errors.Is(h.err, unix.EAGAIN):
		h.err = nil
		h.patient()
		return false
	case errors.Is(h.err, unix.ENOSYS), errors.Is(h.err, unix.EPERM), errors.Is(h.err, unix.EINVAL):
		h.err = nil // it may not be done here: the read that follows copies
	}
	return true
}

// patient puts the deadline of take off, now and then: it serves many waits, as
// that of a linger does. The read that follows bulk has one of its own.
func (h *haul) patient() {
	if now := clock(); now >= h.again {
		h.again = now + int64(framePatience)
		h.f.source().deadline(h.f.t, time.Now().Add(2*framePatience))
	}
}

// walk tracks what is in the pipe, up to the first frame that is not large, or
// behind which an order is to be put in.
func (h *haul) walk() {
	f := h.f
	if h.give = 0; h.size > 0 {
		h.give = min(h.size, h.full)
		f.track(h.head[:h.give])
		h.size = 0
	}
	h.pass()
	if h.give == h.full || f.order.Load() != nil {
		return
	}
	c, ok := h.pipe.copy(h.full)
	if !ok {
		return
	}
	gone := 0 // from the copy
	for h.give < h.full && c.skip(h.give-gone) {
		n := c.read(h.head[:])
		gone = h.give + n
		if n == 0 || !h.pastHeader(h.head[:n]) {
			break
		}
		h.pass()
	}
	if c.skip(h.full - gone) {
		c.back()
	} else {
		c.close()
	}
}

// pass takes notice of the payload in the pipe that belongs to the frame that
// passes.
func (h *haul) pass() {
	if n := min(h.f.frames.left, uint64(h.full-h.give)); n > 0 {
		h.f.note(h.f.frames.skip(int(n)))
		h.give += int(n)
	}
}

// pastHeader tracks what there is of the next header. False: its frame is not
// large, and nothing was tracked.
func (h *haul) pastHeader(p []byte) bool {
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

// drain gives the destination what may go as it is, and waits until all is
// taken.
func (h *haul) drain() error {
	for h.give > 0 {
		h.err = nil
		failed := h.out.Write(h.pour)
		if err := errors.Join(failed, h.err); err != nil {
			return err
		}
	}
	return nil
}

// pour is what drain does when the destination may take something.
func (h *haul) pour(fd uintptr) bool {
	var n int
	if n, h.err = splice(h.pipe.r, int(fd), h.give); h.err == unix.EAGAIN { //nolint:errorlint // as the system says it
		h.err = nil
		return false
	}
	h.f.count(n)
	h.give -= n
	h.full -= n
	return true
}

// unload forwards what is left in the pipe, which nobody has tracked.
func (h *haul) unload(b []byte) error {
	for h.full > 0 {
		n := h.pipe.read(b[:min(len(b), h.full)])
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

// coming waits a little for a large frame: where one was, another follows.
func (h *haul) coming() (large bool) {
	waited := false
	failed := h.in.Read(func(fd uintptr) bool { // not called when a deadline is over already
		var seen bool
		if seen, large = h.look(int(fd)); !seen && !waited {
			waited = true
			h.f.source().deadline(h.f.t, time.Now().Add(bulkPatience))
		}
		return seen
	})
	if waited {
		h.again = 0
		h.patient()
	}
	return failed == nil && large
}

// look looks at the next header where it lies. An error of the connection is
// told once.
func (h *haul) look(fd int) (seen, large bool) {
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
