package tunnel

import "golang.org/x/sys/unix"

// waiting returns how much lies in the socket; zero where that is unknown.
func (s *side) waiting() (n int) {
	if raw, err := s.raw(); err == nil {
		_ = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ) })
	}
	return n
}

// cork has the kernel hold back what does not fill a segment, or send it all.
func (s *side) cork(on bool) {
	held := 0
	if on {
		held = 1
	}
	if raw, err := s.raw(); err == nil { // what is no TCP refuses it
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, held) })
	}
}
