package sock

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// None of the calls below waits, and Go's scheduler is not told of them: after
// some microseconds it would take one for a call that does, and give its
// processor away.

func tryWrite(fd int32, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func tryRead(fd int32, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// trySend writes what is taken at once; more: another piece follows, and the
// kernel may wait for it to fill a segment.
func trySend(fd int32, p []byte, more bool) (int, syscall.Errno) {
	flags := unix.MSG_NOSIGNAL | unix.MSG_DONTWAIT
	if more {
		flags |= unix.MSG_MORE
	}
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), uintptr(flags), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func duplicate(fd int32) int32 {
	n, _, errno := unix.RawSyscall(unix.SYS_FCNTL, uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return -1
	}
	return int32(n)
}

// closeDescriptor closes a socket; what is still to be sent is left to the system.
func closeDescriptor(fd int32) {
	if fd >= 0 {
		_, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
	}
}

// shutdown sends a FIN.
func shutdown(fd int32) { _, _, _ = unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0) }
