package tunnel

import (
	"errors"
	"os"
	"sync"

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

// bulk lets the kernel move the rest of a large frame from socket to socket. It
// reports whether it did. The hand is held throughout: inside a frame nobody
// else has anything to write.
func (f *flow) bulk() (did bool, err error) {
	src, dst := f.source(), f.sink()
	if f.frames.left < spliceMin || src.kind != plain || dst.kind != plain || f.is(told) {
		return false, nil
	}
	in, err := src.raw()
	if err != nil {
		return false, nil //nolint:nilerr // the way of other connections is open
	}
	out, err := dst.raw()
	if err != nil {
		return false, nil //nolint:nilerr // as above
	}
	for f.frames.left > 0 && !f.is(told|stopped) {
		var p pipe
		n, ended := 0, false
		failed := in.Read(func(fd uintptr) bool {
			if p, err = borrowPipe(); err != nil {
				return true
			}
			n, err = fill(p, int(fd), f.frames.left)
			if n > 0 {
				return true
			}
			p.back()
			if errors.Is(err, unix.EAGAIN) {
				err = nil
				return false // wait, without a pipe
			}
			ended = err == nil
			return true
		})
		if failed != nil || err != nil || ended {
			return true, nil //nolint:nilerr // the read that follows meets it again
		}
		f.note(f.frames.skip(n))
		for n > 0 {
			var m int
			failed := out.Write(func(fd uintptr) bool {
				m, err = drain(p, int(fd), n)
				if errors.Is(err, unix.EAGAIN) {
					err = nil
					return false
				}
				return true
			})
			f.count(m)
			n -= m
			if failed != nil {
				err = failed
			}
			if err != nil {
				p.close() // with what is still in it
				f.met.Or(told)
				return true, err
			}
		}
		p.back()
	}
	return true, nil
}

// fill moves what a socket has into a pipe. (0, nil): the source has ended.
func fill(p pipe, fd int, most uint64) (int, error) {
	return splice(fd, p.w, int(min(most, pipeSize)))
}

// drain moves what is in a pipe to a socket.
func drain(p pipe, fd, n int) (int, error) { return splice(p.r, fd, n) }

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
