package tunnel

import (
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pipeSize is what is asked of a pipe; the kernel may give less.
const pipeSize = 1 << 20

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

// splice moves up to most bytes between a pipe and something else. Neither end
// waits, so Go's scheduler is not told of the call: it would take a long one for
// one that waits, and give its processor away.
func splice(from, to, most int) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(most), unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// nowhere is where a copy's payload goes.
var nowhere = sync.OnceValue(func() int {
	fd, err := unix.Open(os.DevNull, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
})

// copy returns a pipe with the same n bytes, which share their pages. False:
// there is none to be had, or it has no room.
func (p pipe) copy(n int) (pipe, bool) {
	c, err := borrowPipe()
	if err != nil {
		return c, false
	}
	if m, err := unix.Tee(p.r, c.w, n, unix.SPLICE_F_NONBLOCK); err != nil || int(m) < n {
		c.close()
		return c, false
	}
	return c, true
}

// skip drops n bytes.
func (p pipe) skip(n int) bool {
	for n > 0 {
		m, err := splice(p.r, nowhere(), n)
		if err != nil || m == 0 {
			return false
		}
		n -= m
	}
	return true
}

// read reads what fits.
func (p pipe) read(b []byte) int {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(p.r), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0
	}
	return int(n)
}
