package tunnel

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// connect makes the connection.
func (s *socket) connect(d *net.Dialer) error {
	family := unix.AF_INET6
	if s.to.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if s.fd = int32(fd); err != nil {
		return os.NewSyscallError("socket", err)
	}
	for waits := false; ; {
		switch err := connect(fd, s.to); err {
		case 0, unix.EISCONN:
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

// connect begins to connect, or says how it went. On a socket that does not
// wait it is short, and Go's scheduler is not told of it: after some
// microseconds it would take it for one that waits, and give its processor away.
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
func (s *socket) keepAlive(c net.KeepAliveConfig) error {
	type option struct{ level, name, value int }
	options := []option{{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1}}
	if c.Enable {
		options = append(options, option{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1})
		for name, of := range map[int]time.Duration{unix.TCP_KEEPIDLE: c.Idle, unix.TCP_KEEPINTVL: c.Interval} {
			if of == 0 {
				of = keepAliveDefault
			}
			if of > 0 {
				options = append(options, option{unix.IPPROTO_TCP, name, int((of + time.Second - 1) / time.Second)})
			}
		}
		if c.Count > 0 {
			options = append(options, option{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, c.Count})
		}
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(int(s.fd), o.level, o.name, o.value); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

// keepAliveDefault is net's.
const keepAliveDefault = 15 * time.Second
