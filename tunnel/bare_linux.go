package tunnel

import (
	"os"

	"golang.org/x/sys/unix"
)

// A net.Conn costs more than all else that an idle tunnel holds, and Go's own
// poller is woken for each packet that arrives on it, wanted or not. So where
// both sides of a tunnel are sockets and there is a set, the descriptors are
// taken out of their net.Conns: the sides are bare. A pump needs somebody who
// waits for its sockets, and has them dressed for as long as one is there.

// bare takes both sockets out of their net.Conns, if it can.
func (t *Tunnel) bare() {
	if t.set == nil || t.client.kind != plain || t.upstream.kind != plain {
		return
	}
	client, upstream := duplicate(t.client.fd), duplicate(t.upstream.fd)
	if client < 0 || upstream < 0 { // no descriptors left: as it is will do
		closeDescriptor(client)
		closeDescriptor(upstream)
		return
	}
	for s, fd := range map[*side]int32{&t.client: client, &t.upstream: upstream} {
		_ = s.conn.Close() // the socket lives on in its duplicate
		s.conn, s.fd, s.bare = nil, fd, true
	}
}

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
		s.conn = os.NewFile(uintptr(s.fd), "socket") // known to Go's poller from here on
		if t.cutting.Load() {
			s.abort(past)
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

func duplicate(fd int32) int32 {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return int32(n)
}

func closeDescriptor(fd int32) {
	if fd >= 0 {
		_ = unix.Close(int(fd))
	}
}

func shutdown(fd int32) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) }
