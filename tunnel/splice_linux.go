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
	pipeSize = 1 << 20
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
	var next outlook
	for crowded := false; ; {
		if crowded && f.order.Load() == nil {
			next.look(src.fd, f.frames.left)
		}
		if err := f.spliceFrames(in, out, &next); err != nil {
			return err
		}
		if !f.frames.boundary() || f.is(told|stopped) {
			return nil // ended or cut: the read that follows meets it
		}
		if err := f.putIn(); err != nil {
			return err
		}
		f.release()
		coming, waited := f.coming(in, &next)
		crowded = !waited // where one frame was there already, more may be
		f.hand.Lock()
		if !coming || f.is(stopped|told) || f.order.Load() != nil {
			return nil
		}
	}
}

// spliceFrames moves the rest of a frame, and the frames behind it that an
// outlook has seen, and takes notice of each.
func (f *flow) spliceFrames(in, out syscall.RawConn, next *outlook) error {
	for f.frames.left+next.bytes > 0 && !f.is(stopped) {
		p, n := take(in, f.frames.left+next.bytes)
		if n == 0 {
			return nil
		}
		f.passed(n, next)
		if err := f.give(out, p, n); err != nil {
			return err
		}
	}
	return nil
}

// passed takes notice of bytes that were not looked at, but for their headers.
func (f *flow) passed(n int, next *outlook) {
	for n > 0 {
		if f.frames.left > 0 {
			payload := int(min(f.frames.left, uint64(n)))
			f.note(f.frames.skip(payload))
			n -= payload
			continue
		}
		head := next.head()
		part := head[:min(len(head), n)]
		f.track(part)
		next.drop(len(part), f.frames.left)
		n -= len(part)
	}
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

// coming waits a little for a large frame: where one was, another follows. It
// says whether one is there, and whether it had to wait.
func (f *flow) coming(in syscall.RawConn, next *outlook) (large, waited bool) {
	*next = outlook{}
	_ = in.Read(func(fd uintptr) bool { // not called when a deadline is over already
		more := next.see(int32(fd), 0)
		if more == unseen && !waited {
			waited = true
			f.source().deadline(f.t, time.Now().Add(bulkPatience))
		}
		return more != unseen
	})
	if waited {
		f.source().deadline(f.t, time.Time{})
	}
	return next.bytes > 0, waited
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
