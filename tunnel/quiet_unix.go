//go:build unix

package tunnel

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// canAwait: a source can be waited for without reading it.
const canAwait = true

// await returns when the source has something or has ended. It holds no
// buffer meanwhile.
func (f *flow) await() error {
	raw, err := f.source().raw()
	if err != nil {
		return err
	}
	var one [1]byte
	var broke error // a reset is told once: the read that follows would see a FIN
	err = raw.Read(func(fd uintptr) bool {
		_, _, broke = unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return !errors.Is(broke, unix.EAGAIN) && !errors.Is(broke, unix.EINTR)
	})
	if err != nil || broke == nil {
		return err
	}
	return os.NewSyscallError("recvfrom", broke)
}
