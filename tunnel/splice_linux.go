package tunnel

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// spliceMin is how much of a frame must be left to let the kernel move it:
	// below, two copies cost less than a pipe.
	spliceMin = 16 << 10
	// pipeSize is what is asked of a pipe; the kernel may give less.
	pipeSize = 256 << 10
)

// pipe is what splice needs between two sockets. It is empty between uses.
type pipe struct{ r, w int }

// pipes keeps those that are not in use. A pipe is borrowed only while bytes
// move: an idle tunnel holds none.
var pipes = struct {
	sync.Mutex
	free []pipe
}{}

// maxFree bounds the pipes that are kept.
const maxFree = 64

func borrowPipe() (pipe, error) {
	pipes.Lock()
	if n := len(pipes.free); n > 0 {
		p := pipes.free[n-1]
		pipes.free = pipes.free[:n-1]
		pipes.Unlock()
		return p, nil
	}
	pipes.Unlock()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return pipe{}, os.NewSyscallError("pipe2", err)
	}
	_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeSize) // as it is will do
	return pipe{r: fds[0], w: fds[1]}, nil
}

func (p pipe) back() {
	pipes.Lock()
	if len(pipes.free) < maxFree {
		pipes.free = append(pipes.free, p)
		pipes.Unlock()
		return
	}
	pipes.Unlock()
	p.close()
}

func (p pipe) close() {
	_ = unix.Close(p.r)
	_ = unix.Close(p.w)
}

// bulk lets the kernel move large frames from socket to socket: the rest of one
// that has begun, and after it whole ones, whose headers are looked at where
// they lie. It returns when the next frame is small or nothing comes for a
// while. The hand is held, and let go between frames.
func (f *flow) bulk() error {
	src, dst := f.source(), f.sink()
	if f.frames.left < spliceMin || src.kind != plain || dst.kind != plain || f.is(told) {
		return nil
	}
	in, err := src.raw()
	if err != nil {
		return nil //nolint:nilerr // the way of other connections is open
	}
	out, err := dst.raw()
	if err != nil {
		return nil //nolint:nilerr // as above
	}
	for header := 0; ; {
		if err := f.spliceFrame(in, out, header); err != nil {
			return err
		}
		if !f.frames.boundary() || f.is(told|stopped) {
			return nil // ended or cut: the read that follows meets it
		}
		if err := f.putIn(); err != nil {
			return err
		}
		f.release()
		ahead := f.peek(in)
		f.hand.Lock()
		var next tracker
		header, _, _ = next.step(ahead)
		if f.is(stopped|told) || f.order.Load() != nil || next.left < spliceMin {
			return nil
		}
		f.track(ahead[:header])
	}
}

// spliceFrame moves the rest of a frame, with header bytes before it that have
// passed the tracker but are still to be read.
func (f *flow) spliceFrame(in, out syscall.RawConn, header int) error {
	for f.frames.left > 0 && !f.is(stopped) {
		p, n := take(in, f.frames.left+uint64(header))
		if n == 0 {
			return nil
		}
		early := min(n, header)
		header -= early
		if n > early {
			f.note(f.frames.skip(n - early))
		}
		if err := f.give(out, p, n); err != nil {
			return err
		}
	}
	return nil
}

// take fills a pipe from a socket, and waits until there is something. The
// pipe is borrowed only then. No bytes: the end, or an error, which the read
// that follows meets again.
func take(in syscall.RawConn, most uint64) (p pipe, n int) {
	var err error
	failed := in.Read(func(fd uintptr) bool {
		if p, err = borrowPipe(); err != nil {
			return true
		}
		if n, err = splice(int(fd), p.w, int(min(most, pipeSize))); n > 0 {
			return true
		}
		p.back()
		if errors.Is(err, unix.EAGAIN) {
			err = nil
			return false
		}
		return true
	})
	if failed != nil || err != nil {
		return p, 0
	}
	return p, n
}

// give empties a pipe into a socket, and waits until all is taken.
func (f *flow) give(out syscall.RawConn, p pipe, n int) error {
	for n > 0 {
		var m int
		var err error
		failed := out.Write(func(fd uintptr) bool {
			m, err = splice(p.r, int(fd), n)
			if errors.Is(err, unix.EAGAIN) {
				err = nil
				return false
			}
			return true
		})
		f.count(m)
		n -= m
		if err = errors.Join(failed, err); err != nil {
			p.close() // with what is still in it
			f.met.Or(told)
			return err
		}
	}
	p.back()
	return nil
}

// peek returns the header of the next frame without reading it. It waits a
// little: where one large frame was, another follows.
func (f *flow) peek(in syscall.RawConn) []byte {
	var head [maxHeader]byte
	n := 0
	waited := false
	_ = in.Read(func(fd uintptr) bool {
		n, _, _ = unix.Recvfrom(int(fd), head[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		if n < 0 && !waited {
			waited = true
			f.source().deadline(f.t, time.Now().Add(bulkPatience))
		}
		return n >= 0
	})
	if waited {
		f.source().deadline(f.t, time.Time{})
	}
	return head[:max(n, 0)]
}

func splice(from, to, most int) (int, error) {
	for {
		n, err := unix.Splice(from, nil, to, nil, most, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, err
		default:
			return int(n), nil
		}
	}
}
