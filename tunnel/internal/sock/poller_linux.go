package sock

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Off has connections wait without a set, as on other systems. It is for tests.
var Off atomic.Bool

// wakeups is how many events are taken at once.
const wakeups = 128

// Set is a private epoll instance, level-triggered, whose own descriptor is
// watched by Go's poller: one goroutine for all quiet connections, woken when
// any of them has something, and no system call to say that one is quiet again.
type Set struct {
	fd     int
	raw    syscall.RawConn
	places places
}

// sets are the process's own. They live as long as the process.
var sets struct {
	once sync.Once
	all  []*Set // none: the system has none to give
	next atomic.Uint32
}

// FewestSets lets tests have more than one on any machine.
var FewestSets = 1

// procsPerSet is how many of Go's processors share a set. One goroutine moves
// all that is small in a set, and more of them gained nothing on two cores.
const procsPerSet = 2

// SetFor returns the set for a tunnel to an upstream; nil: its connections wait
// by themselves. The connections of a tunnel share a set.
func SetFor(upstream any) *Set {
	if d, is := upstream.(*dialled); is {
		return d.conn.set
	}
	return someSet()
}

func someSet() *Set {
	sets.once.Do(func() {
		for range max(FewestSets, runtime.GOMAXPROCS(0)/procsPerSet) {
			if s := newSet(); s != nil {
				sets.all = append(sets.all, s)
			}
		}
	})
	if len(sets.all) == 0 || Off.Load() {
		return nil
	}
	return sets.all[sets.next.Add(1)%uint32(len(sets.all))]
}

// Held returns how many connections have a place in each set.
func Held() (held []int) {
	for _, s := range sets.all {
		s.places.mu.Lock()
		held = append(held, int(s.places.held))
		s.places.mu.Unlock()
	}
	return held
}

func newSet() *Set {
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
	s := &Set{fd: fd, raw: raw}
	go s.serve(file)
	return s
}

// serve wakes those whose connections have something.
func (s *Set) serve(file *os.File) {
	defer file.Close()
	events := make([]unix.EpollEvent, wakeups)
	b := make([]byte, BufferSize)
	n := 0
	some := func(fd uintptr) bool {
		n = pollNow(int(fd), events)
		return n != 0
	}
	for {
		if s.raw.Read(some) != nil || n < 0 {
			continue
		}
		for _, e := range events[:n] {
			if c := s.places.at(e.Fd); c != nil {
				c.owner.Wake(b)
			}
		}
	}
}

// pollNow asks for events without waiting for any.
func pollNow(fd int, events []unix.EpollEvent) int {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// control changes what the kernel knows of a descriptor.
func (s *Set) control(op int, fd, slot int32, events uint32) error {
	e := unix.EpollEvent{Events: events, Fd: slot}
	_, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(s.fd), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(&e)), 0, 0)
	if errno != 0 {
		return os.NewSyscallError("epoll_ctl", errno)
	}
	return nil
}

// wait puts a connection into the set, or has it wait there for other events.
func (s *Set) wait(c *Conn, events uint32) error {
	op := unix.EPOLL_CTL_MOD
	if c.slot < 0 {
		op, c.slot = unix.EPOLL_CTL_ADD, s.places.take()
	}
	s.places.put(c.slot, c)
	err := s.control(op, c.fd, c.slot, events)
	if err != nil && op == unix.EPOLL_CTL_ADD {
		s.places.free(c.slot)
		c.slot = -1
	}
	return err
}

// leave takes a connection out of the set.
func (s *Set) leave(c *Conn) {
	_ = s.control(unix.EPOLL_CTL_DEL, c.fd, c.slot, 0) // the descriptor is open
	s.places.free(c.slot)
	c.slot = -1
}

// places are who waits in a set, by the number that the kernel returns with an
// event. They are looked up without a lock and grow without being copied.
type places struct {
	blocks atomic.Pointer[[]*block]

	mu     sync.Mutex // guards the fields below
	unused int32      // the first of those that were given back, counted from one; zero: none
	size   int32      // how many there are
	held   int32      // how many of them are in use
}

const blockSize = 1024

type block struct {
	conns [blockSize]atomic.Pointer[Conn]
	next  [blockSize]int32 // behind an unused one
}

// at returns who has a place; nil: nobody, or nobody waits.
func (p *places) at(slot int32) *Conn {
	return (*p.blocks.Load())[slot/blockSize].conns[slot%blockSize].Load()
}

func (p *places) put(slot int32, c *Conn) {
	(*p.blocks.Load())[slot/blockSize].conns[slot%blockSize].Store(c)
}

// take returns a place that nobody has.
func (p *places) take() int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held++
	if slot := p.unused - 1; slot >= 0 {
		p.unused = (*p.blocks.Load())[slot/blockSize].next[slot%blockSize]
		return slot
	}
	slot := p.size
	if p.size++; slot%blockSize == 0 {
		var blocks []*block
		if old := p.blocks.Load(); old != nil {
			blocks = append(blocks, *old...)
		}
		blocks = append(blocks, new(block))
		p.blocks.Store(&blocks)
	}
	return slot
}

// free gives a place back.
func (p *places) free(slot int32) {
	p.put(slot, nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held--
	(*p.blocks.Load())[slot/blockSize].next[slot%blockSize] = p.unused
	p.unused = slot + 1
}
