//go:build unix

package tunnel

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// readError turns the result of a read into an error: zero bytes are a FIN.
func readError(n int, err error) error {
	if n == 0 && err == nil {
		return io.EOF
	}
	return os.NewSyscallError("read", err)
}

// tryRead reads what is there. errQuiet: nothing.
func (s *side) tryRead(p []byte) (n int, err error) {
	raw, err := s.raw()
	if err != nil {
		return 0, err
	}
	again := true
	for again {
		again = false
		failed := raw.Read(func(fd uintptr) bool {
			n, err = unix.Read(int(fd), p)
			return true
		})
		switch {
		case failed != nil:
			return 0, failed
		case errors.Is(err, unix.EINTR):
			again = true
		case errors.Is(err, unix.EAGAIN):
			return 0, errQuiet
		}
	}
	if n <= 0 {
		return 0, readError(n, err)
	}
	return n, nil
}

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
