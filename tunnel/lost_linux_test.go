package tunnel

import (
	"errors"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wsgate/wsgate/tunnel/internal/sock"
)

// hold keeps the set that wakes it busy until it is let go.
type hold struct{ in, out chan struct{} }

func (h hold) Wake([]byte) {
	select {
	case <-h.in:
	default:
		close(h.in)
	}
	<-h.out
}

// heldSet keeps a set busy, so that several things happen before it looks. The
// result lets it go.
func heldSet(t *testing.T, s *sock.Set) (letGo func()) {
	t.Helper()
	near, far := tcpPair(t)
	h := hold{make(chan struct{}), make(chan struct{})}
	c := new(sock.Conn)
	c.Take(near, s, h)
	if !c.Arm() {
		t.Fatal("it is not held")
	}
	_, _ = far.Write([]byte{1})
	<-h.in
	letGo = sync.OnceFunc(func() {
		c.Close(false)
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
			waitUntil(t, "the message", func() bool { return unread(r.Tunnel.client.Descriptor()) > 0 })
			reset()
		},
		"the set relays last words": func(t *testing.T, r *rig, reset func()) {
			r.write(r.client, text("b", true))
			waitUntil(t, "the message", func() bool { return unread(r.Tunnel.client.Descriptor()) > 0 })
			reset()
			closeWrite(r.client)
		},
		"somebody else writes": func(t *testing.T, r *rig, reset func()) {
			reset()
			if _, err := unix.Write(r.Tunnel.upstream.Descriptor(), text("b", true)); !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("a write gets %v", err)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, true, tcpPair, tcpPair)
			r.write(r.client, text("a", true))
			r.expect(r.upstream, text("a", true))
			letGo := heldSet(t, r.Tunnel.client.Set())
			first(t, r, func() {
				reset(r.upstream)
				waitUntil(t, "the reset", r.Tunnel.upstream.WasReset)
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
func unread(fd int) int {
	n, _ := unix.IoctlGetInt(fd, unix.SIOCINQ)
	return n
}
