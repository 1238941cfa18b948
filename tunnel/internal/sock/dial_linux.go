package sock

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
		return dialNet(ctx, d, network, address)
	}
	set := someSet()
	if set == nil {
		return dialNet(ctx, d, network, address)
	}
	for again := 2; ; again-- { // as often as net tries
		s := &dialled{to: to, conn: Conn{kind: Plain, fd: -1, slot: -1, set: set}, ready: make(chan struct{}, 1), gone: ctx.Done()}
		s.conn.owner = s
		if err = s.connect(d); err == nil {
			return s, s.free, nil
		}
		_ = s.Close() // the other error counts
		if again == 0 || !errors.Is(err, errItself) && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return nil, nil, &net.OpError{Op: "dial", Net: network, Addr: net.TCPAddrFromAddrPort(to), Err: err}
		}
	}
}

// dialled is a TCP connection that waits in a set.
type dialled struct {
	to   netip.AddrPort
	conn Conn // its place is guarded by mu

	ready chan struct{} // something has come, or the deadline has changed

	mu     sync.Mutex // guards the fields below
	using  int16      // calls on the descriptor that are under way
	closed bool       // the last of them ends it
	left   bool       // somebody else has it
	until  time.Time  // zero: no deadline
	timer  *time.Timer
	gone   <-chan struct{} // whose end ends reads and writes; nil: nobody's
}

// use begins a call on the descriptor, which is not closed before done.
func (s *dialled) use() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.over(); err != nil {
		return err
	}
	s.using++
	return nil
}

func (s *dialled) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.using--; s.using == 0 && s.closed {
		s.end()
	}
}

// over is why nothing more is to be read or written. mu is held.
func (s *dialled) over() error {
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
func (s *dialled) free() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	ended := over(s.gone)
	s.gone = nil
	return !ended
}

// wait returns when an event has come, or may have.
func (s *dialled) wait(events uint32) error {
	s.mu.Lock()
	if err := s.over(); err != nil {
		s.mu.Unlock()
		return err
	}
	if err := s.conn.set.wait(&s.conn, events|unix.EPOLLONESHOT); err != nil {
		s.mu.Unlock()
		return err
	}
	gone := s.gone
	s.mu.Unlock()
	select {
	case <-s.ready:
	case <-gone:
	}
	return nil
}

// Wake is called by the set.
func (s *dialled) Wake([]byte) { s.poke() }

func (s *dialled) poke() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// Read reads what is there, and waits until there is something.
func (s *dialled) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if s.conn.slot < 0 { // the first answer takes a moment
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
func (s *dialled) Write(p []byte) (int, error) {
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
func (s *dialled) call(f func(int32, []byte) (int, syscall.Errno), p []byte) (int, syscall.Errno, error) {
	if err := s.use(); err != nil {
		return 0, 0, err
	}
	defer s.done()
	n, errno := f(s.conn.fd, p)
	return n, errno, nil
}

func (s *dialled) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: s.RemoteAddr(), Err: err}
}

// Close ends the connection.
func (s *dialled) Close() error {
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

// end gives the descriptor back, unless somebody else has it. mu is held.
func (s *dialled) end() {
	if s.left {
		return
	}
	s.conn.Close(false)
}

// SetDeadline sets what ends reads and writes that are under way. Zero: nothing
// does.
func (s *dialled) SetDeadline(t time.Time) error {
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
func (s *dialled) SetReadDeadline(t time.Time) error { return s.SetDeadline(t) }

// SetWriteDeadline is SetDeadline.
func (s *dialled) SetWriteDeadline(t time.Time) error { return s.SetDeadline(t) }

// RemoteAddr is what Dial was given.
func (s *dialled) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.to) }

// LocalAddr is the nil address once the connection is closed.
func (s *dialled) LocalAddr() net.Addr {
	if s.use() != nil {
		return (*net.TCPAddr)(nil)
	}
	defer s.done()
	switch own, _ := unix.Getsockname(int(s.conn.fd)); own := own.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: own.Addr[:], Port: own.Port}
	case *unix.SockaddrInet6:
		return &net.TCPAddr{IP: own.Addr[:], Port: own.Port}
	}
	return (*net.TCPAddr)(nil)
}

// release hands over the descriptor, with its place in the set. The connection
// cannot be used any more.
func (s *dialled) release() (fd, slot int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed, s.left = true, true; s.timer != nil {
		s.timer.Stop()
	}
	if s.conn.slot >= 0 {
		s.conn.set.places.put(s.conn.slot, nil)
	}
	return s.conn.fd, s.conn.slot
}
