package sock

import (
	"errors"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// pipeSize is what is asked of a pipe.
	pipeSize = 1 << 20
	// leastPipe is what splicing pays for: the kernel gives a process that has no
	// privileges small ones once it has many (pipe-user-pages-soft, pipe(7)).
	leastPipe = 128 << 10
	// PipeLeast is how much is put into a pipe at once: a frame of 64 KiB.
	PipeLeast = 64<<10 + 64
	// PipeMost is how much, where the destination has shown that it reads.
	PipeMost = 1 << 20
	// pause is how long no pipe is made after the kernel has refused a large one, and
	// after which pipes that are not in use are closed.
	pause = time.Second
	// maxFree bounds the pipes that are kept, keep those that are kept for more
	// than a second, and maxLent those that are in use.
	maxFree, keep, maxLent = 64, 2, 256
)

// ErrNoPipe says that no pipe is worth having just now.
var ErrNoPipe = errors.New("no pipe")

// Pipe is what splice needs between two sockets. It is empty between uses.
type Pipe struct{ r, w int }

// pipes are those of the process.
var pipes pool

// pool has the pipes that are not in use, and counts those that are. A pipe is
// borrowed only while bytes move: an idle tunnel has none.
type pool struct {
	mu    sync.Mutex // guards the fields below
	free  []Pipe
	lent  int
	after time.Time // when one may be made again; zero: at once
	trims bool      // some of those that are free are to be closed soon
}

// BorrowPipe returns an empty pipe, or ErrNoPipe.
func BorrowPipe() (Pipe, error) {
	pipes.mu.Lock()
	if pipes.lent >= maxLent {
		pipes.mu.Unlock()
		return Pipe{}, ErrNoPipe
	}
	pipes.lent++
	if n := len(pipes.free); n > 0 {
		p := pipes.free[n-1]
		pipes.free = pipes.free[:n-1]
		pipes.mu.Unlock()
		return p, nil
	}
	refused := time.Now().Before(pipes.after)
	pipes.mu.Unlock()
	p, err := Pipe{}, ErrNoPipe
	if !refused {
		p, err = newPipe()
	}
	if err != nil {
		pipes.mu.Lock()
		if pipes.lent--; !refused {
			pipes.after = time.Now().Add(pause)
		}
		pipes.mu.Unlock()
	}
	return p, err
}

// Kept returns how many pipes are kept for later, how many are lent, and how many
// bytes are in those that are kept, of which there should be none.
func Kept() (kept, lent, stale int) {
	pipes.mu.Lock()
	defer pipes.mu.Unlock()
	for _, p := range pipes.free {
		n, _ := unix.IoctlGetInt(p.r, unix.TIOCINQ)
		stale += n
	}
	return len(pipes.free), pipes.lent, stale
}

// newPipe makes a pipe that is large enough.
func newPipe() (Pipe, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return Pipe{}, os.NewSyscallError("pipe2", err)
	}
	p := Pipe{r: fds[0], w: fds[1]}
	for size := pipeSize; size >= leastPipe; size /= 2 {
		if _, err := unix.FcntlInt(uintptr(p.w), unix.F_SETPIPE_SZ, size); err == nil {
			break
		}
	}
	if size, err := p.size(); err != nil || size < leastPipe {
		p.close()
		return Pipe{}, ErrNoPipe
	}
	return p, nil
}

// size returns how many bytes the pipe takes.
func (p Pipe) size() (int, error) { return unix.FcntlInt(uintptr(p.w), unix.F_GETPIPE_SZ, 0) }

// GiveBack returns a borrowed pipe that is empty.
func (p Pipe) GiveBack() {
	pipes.mu.Lock()
	pipes.lent--
	if len(pipes.free) < maxFree {
		pipes.free = append(pipes.free, p)
		if len(pipes.free) > keep && !pipes.trims {
			pipes.trims = true
			time.AfterFunc(pause, trim)
		}
		pipes.mu.Unlock()
		return
	}
	pipes.mu.Unlock()
	p.close()
}

// trim closes the pipes that are not in use, but for a few. They count against
// what the kernel allows a user.
func trim() {
	pipes.mu.Lock()
	defer pipes.mu.Unlock()
	for _, p := range pipes.free[min(keep, len(pipes.free)):] {
		p.close()
	}
	pipes.free, pipes.trims = pipes.free[:min(keep, len(pipes.free))], false
}

// Discard closes a borrowed pipe, with what is in it.
func (p Pipe) Discard() {
	pipes.mu.Lock()
	pipes.lent--
	pipes.mu.Unlock()
	p.close()
}

func (p Pipe) close() {
	_ = unix.Close(p.r)
	_ = unix.Close(p.w)
}

// Fill moves up to most bytes from a descriptor into the pipe.
func (p Pipe) Fill(fd, most int) (int, error) { return splice(fd, p.w, most) }

// Drain moves up to most bytes out of the pipe.
func (p Pipe) Drain(fd, most int) (int, error) { return splice(p.r, fd, most) }

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

// Copy returns a pipe with the same n bytes, which share their pages. False:
// there is none to be had, or it has no room.
func (p Pipe) Copy(n int) (Pipe, bool) {
	c, err := BorrowPipe()
	if err != nil {
		return c, false
	}
	if m, err := unix.Tee(p.r, c.w, n, unix.SPLICE_F_NONBLOCK); err != nil || int(m) < n {
		c.Discard()
		return c, false
	}
	return c, true
}

// Skip drops n bytes.
func (p Pipe) Skip(n int) bool {
	for n > 0 {
		m, err := splice(p.r, nowhere(), n)
		if err != nil || m == 0 {
			return false
		}
		n -= m
	}
	return true
}

// Read reads what fits.
func (p Pipe) Read(b []byte) int {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(p.r), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0
	}
	return int(n)
}
