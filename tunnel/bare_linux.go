package tunnel

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// A net.Conn costs more than all else that an idle tunnel holds, and Go's own
// poller is woken for each packet that arrives on it, wanted or not. So where
// both sides of a tunnel are sockets and there is a set, the descriptors are
// taken out of their net.Conns: the sides are bare. A pump needs somebody who
// waits for its sockets, and has them dressed for as long as one is there.

// take readies the sides, and says in which set their flows are to wait; nil:
// in none. What Dial has made comes with its set, and its place there.
func (t *Tunnel) take(client, upstream net.Conn) {
	dialled, is := upstream.(*socket)
	if !is {
		t.client, t.upstream, t.set = newSide(client), newSide(upstream), someSet()
		t.bare()
		return
	}
	t.client, t.set = newSide(client), dialled.set
	t.upstream = side{kind: plain}
	t.upstream.fd, t.down.slot = dialled.leave()
	if !t.bare() {
		t.upstream.conn = t.upstream.file()
	}
}

// bare takes both sockets out of their net.Conns, if it can.
func (t *Tunnel) bare() bool {
	if t.set == nil || t.client.kind != plain || t.upstream.kind != plain {
		return false
	}
	both := []*side{&t.client, &t.upstream}
	var bare [2]int32
	for i, s := range both {
		if bare[i] = s.fd; s.conn != nil {
			bare[i] = duplicate(s.fd)
		}
	}
	if bare[0] < 0 || bare[1] < 0 { // no descriptors left: as it is will do
		for i, s := range both {
			if s.conn != nil {
				closeDescriptor(bare[i])
			}
		}
		return false
	}
	for i, s := range both {
		if s.conn != nil {
			_ = s.conn.Close() // the socket lives on in its duplicate
		}
		s.conn, s.fd, s.bare = nil, bare[i], true
	}
	return true
}

// file is what a pump needs of a socket without a net.Conn. It is known to Go's
// poller from here on.
func (s *side) file() *os.File { return os.NewFile(uintptr(s.fd), "socket") }

// dress readies bare sockets for a pump. The hand of one flow is held.
func (t *Tunnel) dress() {
	if !t.client.bare {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.client.conn != nil {
		return
	}
	for _, s := range []*side{&t.client, &t.upstream} {
		s.conn = s.file()
		if t.end != nil && !t.end.patience.IsZero() {
			s.abort(t.end.patience)
		}
	}
}

// undress makes the sockets bare again when the last pump goes: f's own, whose
// hand is held. A file cannot let go of its descriptor, but of a duplicate.
func (t *Tunnel) undress(f *flow) {
	o := f.other()
	if !t.client.bare || !o.hand.TryLock() {
		return
	}
	if !o.parked || t.cutting.Load() {
		o.release()
		return
	}
	client, upstream := duplicate(t.client.fd), duplicate(t.upstream.fd)
	if client < 0 || upstream < 0 {
		closeDescriptor(client)
		closeDescriptor(upstream)
		o.release()
		return
	}
	o.unpark()
	if f.slot >= 0 { // its source was dialled, and has never been quiet since
		f.unpark()
	}
	t.mu.Lock()
	t.client.strip(client)
	t.upstream.strip(upstream)
	t.mu.Unlock()
	if !o.park() {
		go o.pump(nil) // with its hand
		return
	}
	o.release()
}

// strip leaves a dressed socket's file for a duplicate of its descriptor.
func (s *side) strip(fd int32) {
	_ = s.conn.Close() // the socket lives on in its duplicate
	s.conn, s.fd = nil, fd
}

// None of the calls below waits (see newSocket).

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

// wasReset reports whether a connection that reads as ended was reset, if the
// other direction is open still.
func (s *side) wasReset() bool {
	if s.fd < 0 {
		return false
	}
	info, err := unix.GetsockoptTCPInfo(int(s.fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	return err == nil && info.State == unix.BPF_TCP_CLOSE
}
