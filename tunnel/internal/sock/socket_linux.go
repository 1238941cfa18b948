package sock

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Take makes a connection ours: owner is woken for it. Where set is nil, and
// where it is no socket of a known kind, it stays a net.Conn. early is what
// layers held back that are left out from here on.
func (c *Conn) Take(conn net.Conn, set *Set, owner Waiter) (early []byte) {
	c.slot, c.owner = -1, owner
	if d, is := conn.(*dialled); is {
		c.kind, c.set = Plain, set
		c.fd, c.slot = d.release()
		return nil
	}
	if set == nil {
		c.classify(conn)
		return nil
	}
	c.set = set
	switch conn := conn.(type) {
	case *tls.Conn:
		if c.takeSecured(conn) {
			return nil
		}
	default:
		socket, held := unwrap(conn)
		if socket == nil {
			break
		}
		if c.fd = detach(socket); c.fd >= 0 {
			c.kind = Plain
			return held
		}
		early = held
	}
	c.classify(conn)
	c.set = nil
	return early
}

// socketConn is a connection whose descriptor can be had.
type socketConn interface {
	net.Conn
	syscall.Conn
}

// unwrap returns the socket of a connection, if what lies above it adds nothing to
// what is read and written, and the bytes that this has read ahead. Of the
// wrappers it knows that of the PROXY protocol, which ends with its header.
func unwrap(conn net.Conn) (socket socketConn, held []byte) {
	switch c := conn.(type) {
	case *net.TCPConn:
		return c, nil
	case *net.UnixConn:
		return c, nil
	case proxied:
		socket, _ = unwrap(c.Raw())
		if socket == nil {
			return nil, nil
		}
		held, err := readAhead(conn)
		if err != nil {
			return nil, held
		}
		return socket, held
	}
	return nil, nil
}

// readAhead reads what a wrapper holds, and nothing of its socket.
func readAhead(conn net.Conn) (held []byte, err error) {
	if err := conn.SetReadDeadline(past); err != nil {
		return nil, err
	}
	for b := make([]byte, 4<<10); ; {
		n, err := conn.Read(b)
		held = append(held, b[:n]...)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return held, conn.SetReadDeadline(time.Time{})
		}
		if err != nil {
			return held, err
		}
	}
}

// detach takes a socket out of its net.Conn, which is closed. -1: there is no
// descriptor left, and nothing has changed.
func detach(conn socketConn) int32 {
	fd := int32(-1)
	raw, err := conn.SyscallConn()
	if err != nil || raw.Control(func(d uintptr) { fd = duplicate(int32(d)) }) != nil || fd < 0 {
		return -1
	}
	_ = conn.Close() // the socket lives on in its duplicate
	return fd
}

// Arm has the owner woken while there is something to read. False: the connection
// cannot wait in a set.
func (c *Conn) Arm() bool {
	return c.set != nil && c.set.wait(c, unix.EPOLLIN|unix.EPOLLRDHUP) == nil
}

// Disarm has the owner woken no more.
func (c *Conn) Disarm() {
	if c.slot >= 0 {
		c.set.leave(c)
	}
}

// Armed reports whether the connection has a place in its set.
func (c *Conn) Armed() bool { return c.slot >= 0 }

// Attach readies the connection for calls that wait. A connection that is being
// aborted has its writes end at a time; zero: it is not.
func (c *Conn) Attach(aborted time.Time) {
	if !c.Tries() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file != nil || c.fd < 0 {
		return
	}
	c.file = os.NewFile(uintptr(c.fd), "socket") // known to Go's poller from here on
	if !aborted.IsZero() {
		_ = c.file.SetReadDeadline(past)
		_ = c.file.SetWriteDeadline(aborted)
	}
}

// Attached reports whether the connection costs more than it must.
func (c *Conn) Attached() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.file != nil
}

// Detach undoes Attach. A file cannot let go of its descriptor, but of a
// duplicate; where there is none left the connection stays attached.
func (c *Conn) Detach() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == nil {
		return
	}
	fd := duplicate(c.fd)
	if fd < 0 {
		return
	}
	armed := c.slot >= 0
	c.Disarm() // the set knows the descriptor by its number
	_ = c.file.Close()
	c.file, c.fd = nil, fd
	if armed && !c.Arm() {
		go c.owner.Wake(nil) // memory is gone: let it find out
	}
}

// TryRead reads what is there. ErrWait: nothing; io.EOF: the peer sends nothing
// more.
func (c *Conn) TryRead(p []byte) (int, error) {
	if c.kind == Secured {
		c.layer.secured.empty = false
		return c.layer.secured.tls.Read(p)
	}
	n, errno := tryRead(c.fd, p)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return 0, ErrWait
	case errno != 0:
		return 0, os.NewSyscallError("read", errno)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// ReadOn reads what lies behind a read that did not fill its buffer, without
// asking the kernel again where that has said that there is nothing more.
func (c *Conn) ReadOn(p []byte) (int, error) {
	if c.kind == Secured {
		return c.layer.secured.tls.Read(p)
	}
	return 0, ErrWait
}

// TryWrite writes what is taken at once, and returns how much. A Secured
// connection takes all or nothing: what the kernel does not take is [Conn.Pending].
func (c *Conn) TryWrite(p []byte) (int, error) {
	if c.kind == Secured {
		return c.layer.secured.tryWrite(p)
	}
	n, errno := tryWrite(c.fd, p)
	if errno != 0 && errno != unix.EAGAIN && errno != unix.EINTR {
		return n, os.NewSyscallError("write", errno)
	}
	return n, nil
}

// Pending reports whether bytes that were written wait for the peer to take them.
func (c *Conn) Pending() bool { return c.kind == Secured && c.layer.secured.pends.Load() }

// Flush writes what is pending, and waits until the peer has taken it.
func (c *Conn) Flush() error {
	if !c.Pending() {
		return nil
	}
	raw, err := c.file.SyscallConn()
	if err != nil {
		return err
	}
	var broke error
	err = raw.Write(func(uintptr) bool {
		broke = c.layer.secured.flush()
		return !errors.Is(broke, ErrWait)
	})
	return errors.Join(err, broke)
}

// Read reads, and waits until there is something.
func (c *Conn) Read(p []byte) (int, error) {
	switch c.kind {
	case Plain:
		return c.file.Read(p)
	case Secured:
		raw, err := c.file.SyscallConn()
		if err != nil {
			return 0, err
		}
		n, broke := 0, error(nil)
		err = raw.Read(func(uintptr) bool {
			n, broke = c.TryRead(p)
			return n > 0 || !errors.Is(broke, ErrWait)
		})
		if err != nil {
			return n, err
		}
		return n, broke
	}
	return c.readNet(p)
}

// Write writes all of p, and waits until it is taken.
func (c *Conn) Write(p []byte) (n int, err error) {
	switch c.kind {
	case Plain:
		return c.file.Write(p)
	case Secured:
		for n < len(p) {
			if err := c.Flush(); err != nil {
				return n, err
			}
			m, err := c.TryWrite(p[n:min(len(p), n+BufferSize)])
			if n += m; err != nil {
				return n, err
			}
		}
		return n, c.Flush()
	}
	return c.layer.net.Write(p)
}

// Raw gives the calls that splice access to an attached Plain connection.
func (c *Conn) Raw() (syscall.RawConn, error) {
	if c.kind != Plain || c.file == nil {
		return nil, errors.ErrUnsupported
	}
	return c.file.SyscallConn()
}

// Room returns about how much an attached Plain connection takes without waiting
// for its peer, in bytes. It is careful: the kernel counts more than payload.
func (c *Conn) Room() int {
	var size, queued int32
	length := uint32(unsafe.Sizeof(size))
	_, _, errno := syscall.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(c.fd), unix.SOL_SOCKET, unix.SO_SNDBUF, uintptr(unsafe.Pointer(&size)), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return 0
	}
	if _, _, errno = syscall.RawSyscall(unix.SYS_IOCTL, uintptr(c.fd), unix.SIOCOUTQ, uintptr(unsafe.Pointer(&queued))); errno != 0 {
		return 0
	}
	return int(size/4*3 - queued)
}

// CloseWrite ends what is written. False: the connection cannot end one
// direction alone. What it writes for that may be pending. An error says that
// the peer is gone, where that shows.
func (c *Conn) CloseWrite() (ok bool, err error) {
	switch c.kind {
	case Plain:
		shutdown(c.fd)
		return true, nil
	case Secured:
		_ = c.layer.secured.tls.CloseWrite()
		return true, c.layer.secured.failure()
	}
	return c.closeWriteNet()
}

// WasReset reports whether a connection that reads as ended was reset, if the
// other direction is open still.
func (c *Conn) WasReset() bool {
	if c.fd < 0 {
		return false
	}
	info, err := unix.GetsockoptTCPInfo(int(c.fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	return err == nil && info.State == unix.BPF_TCP_CLOSE
}

// Close closes the connection. Gently: TLS says goodbye. What is still to be
// sent is left to the system.
func (c *Conn) Close(gently bool) {
	if !c.Tries() {
		c.closeNet(gently)
		return
	}
	if c.kind == Secured && gently {
		_ = c.layer.secured.tls.Close() // writes what is taken at once
	}
	slot := c.slot
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file != nil {
		c.Disarm() // a read that is under way may hold the descriptor a while longer
		_ = c.file.Close()
		return
	}
	closeDescriptor(c.fd) // out of the set, too
	c.fd = -1
	if slot >= 0 {
		c.set.places.free(slot)
		c.slot = -1
	}
}
