package tunnel

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"
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
func fill(fd int32, p []byte, most int) (all int) {
	for most == 0 || all < most {
		n, errno := tryWrite(fd, p)
		all += n
		if errno != 0 || n < len(p) {
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
		side := newSide(near)
		room := fill(side.fd, message, 0)
		_ = near.Close()
		_ = far.Close()

		r := newRig(t, true, narrowPair, tcpPair)
		sent := fill(r.Tunnel.client.fd, message, room/len(message)*len(message)) // as if the tunnel had relayed them
		if sent%len(message) == 0 {
			r.Close(soon(1013, reason))
			left := r.down.order.Load()
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
	f.hand.Lock() // as the set, whose write was not taken
	go r.cut(true)
	waitUntil(t, "the cut", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.end != nil && !r.end.patience.IsZero()
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
func stuff(t *testing.T, fd int32) {
	t.Helper()
	full := 0
	waitUntil(t, "the window to fill", func() bool {
		if full++; fill(fd, make([]byte, 4<<10), 0) > 0 {
			full = 0
		}
		return full > 50
	})
}

func TestPromise4DeadlineHurriesTheGoodbyeOfTLS(t *testing.T) {
	t.Parallel()
	r := newRig(t, true, tlsPair, tcpPair)
	stuff(t, r.Tunnel.client.fd)
	began := time.Now()
	go r.cut(true)
	waitUntil(t, "the cut", func() bool { return r.down.is(stopped) })
	r.Close(Closing{By: ByShutdown, Code: 1001, Deadline: time.Now().Add(50 * time.Millisecond)})
	r.result()
	if took := time.Since(began); took > lostGrace/2 {
		t.Errorf("ended after %s", took)
	}
}

func TestTLSSocketLeavesTheSetBeforeItsSlowClose(t *testing.T) {
	t.Parallel()
	r := newRig(t, true, tlsPair, tcpPair)
	r.write(r.client, text("hello", true))
	r.expect(r.upstream, text("hello", true))
	waitUntil(t, "the client's flow to be parked", func() bool { return r.isParked(&r.up) })
	stuff(t, r.Tunnel.client.fd)
	go r.cut(true)
	waitUntil(t, "the goodbye", func() bool { return r.down.is(stopped) })
	r.write(r.client, text("of which the set would be told again and again", true))
	r.up.hand.Lock()
	if r.up.slot >= 0 {
		t.Errorf("it is still in place %d of the set", r.up.slot)
	}
	r.up.hand.Unlock()
	select {
	case res := <-r.ended:
		t.Fatalf("nothing was slow: %+v", res)
	default:
	}
	r.Close(Closing{By: ByGate, Code: 1001, Deadline: past})
	r.result()
}
