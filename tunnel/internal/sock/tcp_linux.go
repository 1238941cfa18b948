package sock

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// connect makes the connection.
func (s *dialled) connect(d *net.Dialer) error {
	family := unix.AF_INET6
	if s.to.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, errno := newSocket(family)
	if s.conn.fd = int32(fd); errno != 0 {
		return os.NewSyscallError("socket", errno)
	}
	for waits := false; ; {
		switch err := connect(fd, s.to); err {
		case 0, unix.EISCONN:
			if s.isItself() {
				return errItself
			}
			return s.keepAlive(d.KeepAliveConfig)
		case unix.EINPROGRESS, unix.EINTR:
			continue // on the same machine it is there by now
		case unix.EALREADY:
		default:
			return os.NewSyscallError("connect", err)
		}
		if !waits {
			waits = true
			until := d.Deadline
			if limit := time.Now().Add(d.Timeout); d.Timeout > 0 && (until.IsZero() || limit.Before(until)) {
				until = limit
			}
			_ = s.SetDeadline(until)
			defer func() { _ = s.SetDeadline(time.Time{}) }()
		}
		if err := s.wait(unix.EPOLLOUT); err != nil {
			return err
		}
	}
}

// errItself is of a connection that has met itself: where nobody listens, the
// system may give it the very port that it goes to.
var errItself = os.NewSyscallError("connect", unix.ECONNREFUSED)

func (s *dialled) isItself() bool {
	to := s.to.Addr()
	if s.to.Port() < firstGiven() {
		return false
	}
	switch own, _ := unix.Getsockname(int(s.conn.fd)); own := own.(type) {
	case *unix.SockaddrInet4:
		return own.Port == int(s.to.Port()) && (netip.AddrFrom4(own.Addr) == to || to.IsUnspecified())
	case *unix.SockaddrInet6:
		return own.Port == int(s.to.Port()) && (netip.AddrFrom16(own.Addr) == to || to.IsUnspecified())
	}
	return false
}

// firstGiven is the first port that the system gives a connection; zero where
// that is unknown.
var firstGiven = sync.OnceValue(func() (port uint16) {
	b, _ := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	_, _ = fmt.Sscan(string(b), &port)
	return port
})

// None of the calls below waits, and Go's scheduler is not told of them: after
// some microseconds it would take one for a call that does, and give its
// processor away.

// newSocket returns a TCP socket; -1 with an error.
func newSocket(family int) (int, syscall.Errno) {
	fd, _, errno := unix.RawSyscall(unix.SYS_SOCKET, uintptr(family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), 0
}

// setOption sets an option of a socket whose value is a number.
func setOption(fd, level, name int, value int32) syscall.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name), uintptr(unsafe.Pointer(&value)), unsafe.Sizeof(value), 0)
	return errno
}

// connect begins to connect, or says how it went.
func connect(fd int, to netip.AddrPort) syscall.Errno {
	var errno syscall.Errno
	if ip := to.Addr(); ip.Is4() {
		a := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: ip.As4()}
		inNetworkOrder(&a.Port, to.Port())
		_, _, errno = unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&a)), unix.SizeofSockaddrInet4)
	} else {
		a := unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: ip.As16()}
		inNetworkOrder(&a.Port, to.Port())
		_, _, errno = unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&a)), unix.SizeofSockaddrInet6)
	}
	return errno
}

func inNetworkOrder(to *uint16, port uint16) {
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(to))[:], port)
}

// keepAlive sets what net.Dialer sets.
func (s *dialled) keepAlive(c net.KeepAliveConfig) error {
	options := [...]struct{ level, name, value int }{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepAliveSeconds(c.Idle)},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepAliveSeconds(c.Interval)},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, c.Count},
	}
	for i, o := range options {
		if i > 0 && (!c.Enable || o.value <= 0) { // as the system has it
			continue
		}
		if errno := setOption(int(s.conn.fd), o.level, o.name, int32(o.value)); errno != 0 {
			return os.NewSyscallError("setsockopt", errno)
		}
	}
	return nil
}

// keepAliveSeconds is a time as the system takes it, rounded up; zero stands for
// net's own, negative for the system's.
func keepAliveSeconds(d time.Duration) int {
	if d == 0 {
		d = keepAliveDefault
	}
	return int((d + time.Second - 1) / time.Second)
}

// keepAliveDefault is net's.
const keepAliveDefault = 15 * time.Second
