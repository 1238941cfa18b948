package tunnel

import (
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// hold is a waiter that keeps its set busy until it is let go.
type hold struct{ in, out chan struct{} }

func (h hold) wake([]byte) {
	close(h.in)
	<-h.out
}

// heldSet keeps a set busy, so that several things happen before it looks. The
// result lets it go.
func heldSet(t *testing.T, s *set) (letGo func()) {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	h := hold{make(chan struct{}), make(chan struct{})}
	slot, err := s.put(h, int32(p[0]), -1, unix.EPOLLIN|unix.EPOLLONESHOT)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = unix.Write(p[1], []byte{1})
	<-h.in
	letGo = sync.OnceFunc(func() {
		_ = unix.Close(p[0])
		_ = unix.Close(p[1])
		s.free(slot)
		close(h.out)
	})
	t.Cleanup(letGo)
	return letGo
}

func TestPromise6ResetThatAWriteIsToldIsNoFIN(t *testing.T) {
	t.Parallel()
	for what, first := range map[string]func(t *testing.T, r *rig, reset func()){
		"the set relays": func(t *testing.T, r *rig, reset func()) {
			r.write(r.client, text("b", true)) // its event comes first
			waitUntil(t, "the message", func() bool { return unread(r.Tunnel.client.fd) > 0 })
			reset()
		},
		"the set relays last words": func(t *testing.T, r *rig, reset func()) {
			r.write(r.client, text("b", true))
			waitUntil(t, "the message", func() bool { return unread(r.Tunnel.client.fd) > 0 })
			reset()
			closeWrite(r.client)
		},
		"somebody else writes": func(t *testing.T, r *rig, reset func()) {
			reset()
			if _, errno := tryWrite(r.Tunnel.upstream.fd, text("b", true)); errno != unix.ECONNRESET {
				t.Errorf("a write is told %v", errno)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, true, tcpPair, tcpPair)
			r.write(r.client, text("a", true))
			r.expect(r.upstream, text("a", true))
			letGo := heldSet(t, r.set)
			first(t, r, func() {
				reset(r.upstream)
				waitUntil(t, "the reset", r.Tunnel.upstream.wasReset)
			})
			letGo()
			r.expect(r.client, closeFrame(1014, "backend connection lost", false))
			_ = r.client.Close()
			if res := r.result(); res.Code != 1014 || res.By != ByError || res.Err == nil {
				t.Errorf("result %+v", res)
			}
		})
	}
}

// unread is how much of what has arrived nobody has read.
func unread(fd int32) int {
	n, _ := unix.IoctlGetInt(int(fd), unix.SIOCINQ)
	return n
}
