package tunnel

import (
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// useSet lets tests take the way of other systems.
var useSet atomic.Bool

func init() { useSet.Store(true) }

// wakeups is how many events are taken at once.
const wakeups = 128

// set is a private epoll instance, level-triggered, whose own descriptor is
// watched by Go's poller: one goroutine for all quiet flows, woken when any of
// them has something, and no system call to say that one is quiet again.
type set struct {
	fd  int
	raw syscall.RawConn

	mu    sync.Mutex // guards the fields below
	slots []waiter   // nil: nobody's, or nobody waits
	spare []int32
}

// waiter is who waits in a set. It is told of each event, and must not block;
// b is of use until it returns.
type waiter interface{ wake(b []byte) }

// sets are the process's own. They live as long as the process.
var sets struct {
	once sync.Once
	all  []*set // none: the system has none to give
	next atomic.Uint32
}

// fewestSets lets tests have more than one on any machine.
var fewestSets = 1

// procsPerSet is how many of Go's processors share a set. One goroutine moves
// all that is small in a set, and more of them gained nothing on two cores.
const procsPerSet = 4

// someSet returns a set for the flows of a tunnel; nil: they wait by themselves.
func someSet() *set {
	sets.once.Do(func() {
		for range max(fewestSets, runtime.GOMAXPROCS(0)/procsPerSet) {
			if s := newSet(); s != nil {
				sets.all = append(sets.all, s)
			}
		}
	})
	if len(sets.all) == 0 || !useSet.Load() {
		return nil
	}
	return sets.all[sets.next.Add(1)%uint32(len(sets.all))]
}

func newSet() *set {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil
	}
	file := os.NewFile(uintptr(fd), "wsgate epoll")
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return nil
	}
	s := &set{fd: fd, raw: raw}
	go s.serve(file)
	return s
}

// serve moves what small things the quiet flows have.
func (s *set) serve(file *os.File) {
	defer file.Close()
	events := make([]unix.EpollEvent, wakeups)
	woken := make([]waiter, 0, wakeups)
	b := make([]byte, bufferSize)
	n := 0
	some := func(fd uintptr) bool {
		n = wait(int(fd), events)
		return n != 0
	}
	for {
		if s.raw.Read(some) != nil || n < 0 {
			continue
		}
		s.mu.Lock()
		woken = woken[:0]
		for _, e := range events[:n] {
			if w := s.slots[e.Fd]; w != nil {
				woken = append(woken, w)
			}
		}
		s.mu.Unlock()
		for _, w := range woken {
			w.wake(b)
		}
	}
}

// wait asks for events without waiting for any.
func wait(fd int, events []unix.EpollEvent) int {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// put has a waiter told of events of a descriptor; slot is where the descriptor
// is in the set already, -1: it is not. It returns where it is now.
func (s *set) put(w waiter, fd, slot int32, events uint32) (int32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	op := unix.EPOLL_CTL_MOD
	if slot < 0 {
		op = unix.EPOLL_CTL_ADD
		if n := len(s.spare); n > 0 {
			slot, s.spare = s.spare[n-1], s.spare[:n-1]
		} else {
			slot = int32(len(s.slots))
			s.slots = append(s.slots, nil)
		}
	}
	if err := unix.EpollCtl(s.fd, op, int(fd), &unix.EpollEvent{Events: events, Fd: slot}); err != nil {
		if op == unix.EPOLL_CTL_ADD {
			s.spare = append(s.spare, slot)
			slot = -1
		}
		return slot, err
	}
	s.slots[slot] = w
	return slot, nil
}

// leave has nobody told of events any more. The descriptor keeps its place.
func (s *set) leave(slot int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slots[slot] = nil
}

// free gives a place back.
func (s *set) free(slot int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slots[slot] = nil
	s.spare = append(s.spare, slot)
}

// park puts a flow into the set. False: it has to wait by itself. The hand is
// held.
func (f *flow) park() bool {
	src, s := f.source(), f.t.set
	if s == nil || src.fd < 0 || f.is(stopped) {
		return false
	}
	var err error
	f.slot, err = s.put(f, src.fd, f.slot, unix.EPOLLIN|unix.EPOLLRDHUP)
	f.parked = err == nil
	return f.parked
}

// unpark takes a flow out of the set. The hand is held; from here on nobody
// touches its sockets for it.
func (f *flow) unpark() {
	_ = unix.EpollCtl(f.t.set.fd, unix.EPOLL_CTL_DEL, int(f.source().fd), nil) // open until we close it
	f.t.set.free(f.slot)
	f.slot, f.parked = -1, false
}

// leave gives a closed source's place back: closing has taken it out.
func (f *flow) leave() {
	if f.slot >= 0 {
		f.t.set.free(f.slot)
		f.slot = -1
	}
}

// wake is called by the set: the source has something, or has ended. Whoever
// has the hand may be writing to a peer that does not read, and the set waits
// for nobody: it will be told again if the flow is still parked.
func (f *flow) wake(b []byte) {
	if !f.hand.TryLock() {
		return
	}
	if !f.parked {
		f.release()
		return
	}
	src, dst := f.source(), f.sink()
	if src.kind != plain {
		f.unpark()
		go f.pump(nil)
		return
	}
	n, errno := tryRead(src.fd, b)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		f.release()
	case errno != 0:
		f.unpark()
		go f.finish(os.NewSyscallError("read", errno))
	case n == 0:
		f.unpark()
		if !f.finishNow() {
			go f.finish(io.EOF)
		}
	case n == len(b) || dst.kind != plain || f.order.Load() != nil:
		f.unpark()
		own := borrow(n)
		copy(own, b[:n])
		go f.pumpFresh(own, n)
	default:
		f.relay(b, n)
	}
}

// finishNow does what finish does at a FIN, where none of it could block. False:
// finish is to do it, and the hand is still held.
func (f *flow) finishNow() bool {
	t, dst := f.t, f.sink()
	f.met.Or(ended) // before fin: whoever loses the upstream later finds it ended
	if !dst.bare || f.order.Load() != nil || t.cutting.Load() || f.brokeOff() || t.fin(f) != nil {
		return false
	}
	if !f.other().is(ended) {
		shutdown(dst.fd)
		f.met.Or(shut)
	}
	f.release()
	t.review()
	return true
}

// relay writes what was read, if it is taken at once. The hand is held.
func (f *flow) relay(b []byte, n int) {
	f.track(b[:n])
	if f.is(told) {
		f.release()
		return
	}
	w, errno := tryWrite(f.sink().fd, b[:n])
	f.count(w)
	if w == n {
		f.release()
		return
	}
	if f.up && errno != 0 && errno != unix.EAGAIN && errno != unix.EINTR {
		f.t.sinkFailed(f, os.NewSyscallError("write", errno)) // a reset is told once: who reads would see a FIN
	}
	f.unpark()
	own := borrow(n - w)
	copy(own, b[w:n])
	go f.pumpTracked(own, n-w)
}

// tryWrite writes what the destination takes at once. An error shows again
// when the rest is written. The hand is held, and the destination is plain.
func (f *flow) tryWrite(p []byte) int {
	n, _ := tryWrite(f.sink().fd, p)
	return n
}

// tryWrite writes what is taken at once.
func tryWrite(fd int32, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// tryRead reads what is there.
func tryRead(fd int32, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
