package tunnel

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wsgate/wsgate/tunnel/internal/sock"
)

// narrowPair has little room between its ends.
func narrowPair(t testing.TB) (near, far net.Conn) {
	t.Helper()
	near, far = tcpPair(t)
	_ = near.(*net.TCPConn).SetWriteBuffer(16 << 10)
	_ = far.(*net.TCPConn).SetReadBuffer(16 << 10)
	return near, far
}

// fill writes until nothing more is taken, or most bytes are; zero: no such
// bound. It returns how many it has written.
func fill(fd int, p []byte, most int) (all int) {
	for most == 0 || all < most {
		n, err := unix.Write(fd, p)
		all += max(0, n)
		if err != nil || n < len(p) {
			break
		}
	}
	return all
}

func TestPromise5CloseFrameThatIsTakenInPartsIsWhole(t *testing.T) {
	t.Parallel()
	message := makeFrame(finBit|opText, make([]byte, 98), false) // 100 bytes
	reason := strings.Repeat("r", maxReason)
	bye := closeFrame(1013, reason, false)
	for range 40 { // how much a socket takes is not always the same
		near, far := narrowPair(t)
		var c sock.Conn
		c.Take(near, sock.SetFor(near), nil)
		room := fill(c.Descriptor(), message, 0)
		c.Close(false)
		_ = far.Close()

		r := newRig(t, true, narrowPair, tcpPair)
		sent := fill(r.Tunnel.client.Descriptor(), message, room/len(message)*len(message)) // as if the tunnel had relayed them
		if sent%len(message) == 0 {
			r.Close(soon(1013, reason))
			left := r.down.closing.Load()
			got := make([]byte, sent+len(bye))
			if n, err := io.ReadFull(r.client, got); err != nil || !bytes.Equal(got[sent:], bye) {
				t.Fatalf("behind %d bytes of messages: %.12q (%v), want %.12q", sent, got[sent:max(sent, n)], err, bye)
			}
			_ = r.client.Close()
			_ = r.upstream.Close()
			r.result()
			if left != nil && len(*left) < len(bye) {
				return
			}
		}
	}
	t.Skip("no socket took a close frame in parts")
}

func TestPromise5LastFrameIsWrittenByAPumpThatComesWithTheCut(t *testing.T) {
	t.Parallel()
	r := newRig(t, true, tcpPair, tcpPair)
	f, bye := &r.down, closeFrame(1000, "", false)
	f.turn.Lock() // as the set, whose write was not taken
	go r.cut(true)
	waitUntil(t, "the cut", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.ending != nil && !r.ending.patience.IsZero()
	})
	f.unpark()
	own := borrow(len(bye))
	go f.pumpTracked(own, copy(own, bye))
	r.expect(r.client, bye)
	r.expectEnd(r.client)
	r.result()
}

// stuff writes into a socket, behind the tunnel's back, until its peer's window
// is full.
func stuff(t *testing.T, fd int) {
	t.Helper()
	full := 0
	waitUntil(t, "the window to fill", func() bool {
		if full++; fill(fd, make([]byte, 4<<10), 0) > 0 {
			full = 0
		}
		return full > 50
	})
}

func TestPromise4GoodbyeOfTLSWaitsForNobody(t *testing.T) {
	t.Parallel()
	r := newRig(t, true, tlsPair, tcpPair)
	waitUntil(t, "both flows to be parked", func() bool { return r.isParked(&r.up) && r.isParked(&r.down) })
	stuff(t, r.Tunnel.client.Descriptor())
	began := time.Now()
	go r.cut(true)
	r.result()
	if took := time.Since(began); took > lostGrace/2 {
		t.Errorf("ended after %s", took)
	}
}

func TestStoppedFlowWithSomethingUnreadLeavesTheSet(t *testing.T) {
	t.Parallel()
	for what, client := range map[string]pair{"TCP": tcpPair, "TLS": tlsPair} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, true, client, tcpPair)
			r.write(r.client, text("hello", true))
			r.expect(r.upstream, text("hello", true))
			waitUntil(t, "the client's flow to be parked", func() bool { return r.isParked(&r.up) })
			r.up.stop() // and the tunnel's end is held up
			r.write(r.client, text("of which the set would be woken again and again", true))
			waitUntil(t, "the client's connection to leave the set", func() bool {
				r.up.turn.Lock()
				defer r.up.turn.Unlock()
				return !r.Tunnel.client.Armed()
			})
		})
	}
}
