package tunnel

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Dial connects as d does. Until free is called the end of ctx ends what is
// read and written; free reports whether that has not happened.
//
// A TCP address without a name gets a connection that waits in the set where
// its tunnel will, and never in Go's poller; of d, its Timeout, Deadline and
// KeepAliveConfig count then. It is made for a handshake: one goroutine reads
// and writes, any may close it or set its deadline, which is one for both.
func Dial(ctx context.Context, d *net.Dialer, network, address string) (conn net.Conn, free func() bool, err error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp" || to.Addr().Zone() != "" {
		return dial(ctx, d, network, address)
	}
	set := someSet()
	if set == nil {
		return dial(ctx, d, network, address)
	}
	for again := 2; ; again-- { // as often as net tries
		s := &socket{to: to, set: set, slot: -1, ready: make(chan struct{}, 1), gone: ctx.Done()}
		if err = s.connect(d); err == nil {
			return s, s.free, nil
		}
		_ = s.Close() // the other error counts
		if again == 0 || !errors.Is(err, errItself) && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return nil, nil, &net.OpError{Op: "dial", Net: network, Addr: net.TCPAddrFromAddrPort(to), Err: err}
		}
	}
}

// socket is a TCP connection that waits in a set.
type socket struct {
	// Set once by connect.
	fd  int32
	to  netip.AddrPort
	set *set

	ready chan struct{} // something has come, or the deadline has changed

	mu     sync.Mutex // guards the fields below
	slot   int32      // in the set, where it was before; -1: it was not
	using  int16      // calls on the descriptor that are under way
	closed bool       // the last of them ends it
	left   bool       // a flow has it
	until  time.Time  // zero: no deadline
	timer  *time.Timer
	gone   <-chan struct{} // whose end ends reads and writes; nil: nobody's
}

// use begins a call on the descriptor, which is not closed before done.
func (s *socket) use() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.over(); err != nil {
		return err
	}
	s.using++
	return nil
}

func (s *socket) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.using--; s.using == 0 && s.closed {
		s.end()
	}
}

// over is why nothing more is to be read or written. mu is held.
func (s *socket) over() error {
	switch {
	case s.closed:
		return net.ErrClosed
	case !s.until.IsZero() && !time.Now().Before(s.until), over(s.gone):
		return os.ErrDeadlineExceeded
	}
	return nil
}

// over reports whether a channel is closed.
func over(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// free is what Dial returns.
func (s *socket) free() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	ended := over(s.gone)
	s.gone = nil
	return !ended
}

// wait returns when an event has come, or may have.
func (s *socket) wait(events uint32) error {
	s.mu.Lock()
	if err := s.over(); err != nil {
		s.mu.Unlock()
		return err
	}
	slot, err := s.set.put(s, s.fd, s.slot, events|unix.EPOLLONESHOT)
	if err != nil {
		s.mu.Unlock()
		return os.NewSyscallError("epoll_ctl", err)
	}
	s.slot = slot
	gone := s.gone
	s.mu.Unlock()
	select {
	case <-s.ready:
	case <-gone:
	}
	return nil
}

// wake is called by the set.
func (s *socket) wake([]byte) { s.poke() }

func (s *socket) poke() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// Read reads what is there, and waits until there is something.
func (s *socket) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if s.slot < 0 { // the first answer takes a moment
		if err := s.wait(unix.EPOLLIN | unix.EPOLLRDHUP); err != nil {
			return 0, s.failed("read", err)
		}
	}
	for {
		n, errno, err := s.call(tryRead, p)
		switch {
		case err != nil:
			return 0, s.failed("read", err)
		case errno == unix.EAGAIN || errno == unix.EINTR:
			if err := s.wait(unix.EPOLLIN | unix.EPOLLRDHUP); err != nil {
				return 0, s.failed("read", err)
			}
		case errno != 0:
			return 0, s.failed("read", os.NewSyscallError("read", errno))
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write writes all of p.
func (s *socket) Write(p []byte) (int, error) {
	for n := 0; ; {
		m, errno, err := s.call(tryWrite, p[n:])
		switch {
		case err != nil:
			return n, s.failed("write", err)
		case errno == unix.EAGAIN || errno == unix.EINTR:
			if err := s.wait(unix.EPOLLOUT); err != nil {
				return n, s.failed("write", err)
			}
		case errno != 0:
			return n, s.failed("write", os.NewSyscallError("write", errno))
		default:
			if n += m; n == len(p) {
				return n, nil
			}
		}
	}
}

// call makes a call on the descriptor that does not wait.
func (s *socket) call(f func(int32, []byte) (int, syscall.Errno), p []byte) (int, syscall.Errno, error) {
	if err := s.use(); err != nil {
		return 0, 0, err
	}
	defer s.done()
	n, errno := f(s.fd, p)
	return n, errno, nil
}

func (s *socket) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: s.RemoteAddr(), Err: err}
}

// Close ends the connection.
func (s *socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	if s.closed = true; s.timer != nil {
		s.timer.Stop()
	}
	if s.using == 0 {
		s.end()
	}
	s.poke()
	return nil
}

// end gives the descriptor back, unless a flow has it. mu is held.
func (s *socket) end() {
	if s.left {
		return
	}
	if s.slot >= 0 {
		s.set.free(s.slot)
	}
	closeDescriptor(s.fd)
}

// SetDeadline sets what ends reads and writes that are under way. Zero: nothing
// does.
func (s *socket) SetDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until = t; s.timer != nil {
		s.timer.Stop()
	}
	switch left := time.Until(t); {
	case t.IsZero() || s.closed:
	case left <= 0:
		s.poke()
	case s.timer != nil:
		s.timer.Reset(left)
	default:
		s.timer = time.AfterFunc(left, s.poke)
	}
	return nil
}

// SetReadDeadline is SetDeadline.
func (s *socket) SetReadDeadline(t time.Time) error { return s.SetDeadline(t) }

// SetWriteDeadline is SetDeadline.
func (s *socket) SetWriteDeadline(t time.Time) error { return s.SetDeadline(t) }

// RemoteAddr is what Dial was given.
func (s *socket) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.to) }

// LocalAddr is the nil address once the connection is closed.
func (s *socket) LocalAddr() net.Addr {
	if s.use() != nil {
		return (*net.TCPAddr)(nil)
	}
	defer s.done()
	switch own, _ := unix.Getsockname(int(s.fd)); own := own.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: own.Addr[:], Port: own.Port}
	case *unix.SockaddrInet6:
		return &net.TCPAddr{IP: own.Addr[:], Port: own.Port}
	}
	return (*net.TCPAddr)(nil)
}

// leave hands the descriptor to a flow, with its place in the set. The socket
// is of no use any more.
func (s *socket) leave() (fd, slot int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed, s.left = true, true; s.timer != nil {
		s.timer.Stop()
	}
	if s.slot >= 0 {
		s.set.leave(s.slot)
	}
	return s.fd, s.slot
}
