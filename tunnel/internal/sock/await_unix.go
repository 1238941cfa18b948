//go:build unix && !aix

package sock

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// canAwait: a socket can be waited for without reading it.
const canAwait = true

// Await returns when a Layered connection has something to read, or has ended. It
// needs no buffer meanwhile.
func (c *Conn) Await() error {
	socket, ok := beneath(c.layer.net).(syscall.Conn)
	if !ok {
		return errors.ErrUnsupported
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var one [1]byte
	var broke error // a reset is reported once: the read that follows would see a FIN
	err = raw.Read(func(fd uintptr) bool {
		_, _, broke = unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return !errors.Is(broke, unix.EAGAIN) && !errors.Is(broke, unix.EINTR)
	})
	if err != nil || broke == nil {
		return err
	}
	return os.NewSyscallError("recvfrom", broke)
}
