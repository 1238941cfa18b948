package tunnel

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

func TestPromise6ClientInsideAFrameHearsOfALostUpstreamAtOnce(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, r *rig) {
		frame := text("never finished", false)
		r.write(r.upstream, frame[:5])
		r.expect(r.client, frame[:5])
		began := time.Now()
		reset(r.upstream)
		if rest, _ := io.ReadAll(r.client); len(rest) > 0 {
			t.Errorf("%q was put into a frame", rest)
		}
		_ = r.client.Close()
		if res := r.result(); res.By != ByError || res.Code != 0 || res.Err == nil {
			t.Errorf("result %+v", res)
		}
		if took := time.Since(began); took > lostGrace/2 {
			t.Errorf("after %s", took)
		}
	})
}

// brief is an owner that bears no silence.
type brief struct{ owner }

func (brief) HalfOpen() time.Duration { return 50 * time.Millisecond }

func TestHalfOpenTunnelThatIsSilentIsClosedByItsLimit(t *testing.T) {
	t.Parallel()
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			r := &rig{t: t, ended: make(chan Result, 1)}
			r.Tunnel = New(Options{Owner: brief{owner(r.ended)}})
			c, client := w.client(t)
			u, upstream := w.upstream(t)
			r.client, r.upstream = client, upstream
			r.startOn(w.set, Peer{Conn: c}, Peer{Conn: u})
			closeWrite(r.upstream)
			r.expectEnd(r.client)
			r.write(r.client, text("still there", true))
			r.expect(r.upstream, text("still there", true))
			r.expectClose(r.upstream, 1001, "half-open and silent for too long")
			_ = r.client.Close()
			if res := r.result(); res.By != ByLimit || res.Code != 1001 || res.Err != nil {
				t.Errorf("result %+v", res)
			}
		})
	}
}

func TestPromise9HalfOpenTunnelIsDetachedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, true, tcpPair, tcpPair)
	if !r.Tunnel.client.Tries() {
		t.Skip("sockets stay in their net.Conns on this system")
	}
	big := makeFrame(finBit|opBinary, make([]byte, 4<<20), true)
	var all sync.WaitGroup
	all.Go(func() {
		r.write(r.client, big)
		closeWrite(r.client)
	})
	r.expect(r.upstream, big)
	r.expectEnd(r.upstream)
	all.Wait()
	waitUntil(t, "both connections to be detached", func() bool {
		return !r.Tunnel.client.Attached() && !r.Tunnel.upstream.Attached()
	})
	r.write(r.upstream, text("still there", false))
	r.expect(r.client, text("still there", false))
}

func TestPromise9PumpThatMeetsTheSetStillDetaches(t *testing.T) {
	t.Parallel()
	r := newRig(t, true, tcpPair, tcpPair)
	if !r.Tunnel.client.Tries() {
		t.Skip("sockets stay in their net.Conns on this system")
	}
	r.up.turn.Lock()
	r.enter()
	r.up.release()
	r.down.turn.Lock() // as the set has it while it relays
	r.leave()
	if !r.Tunnel.client.Attached() {
		t.Error("detached under somebody who writes")
	}
	r.down.release()
	if r.Tunnel.client.Attached() || r.Tunnel.upstream.Attached() {
		t.Error("attached for ever")
	}
}

func TestIdleProxyAndTLSClientsCostNoGoroutine(t *testing.T) {
	t.Parallel()
	for name, client := range map[string]pair{"PROXY": announcedPair, "TLS": tlsPair} {
		t.Run("Promise9 "+name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, true, client, dialledPair)
			r.write(r.client, text("hello", true))
			r.expect(r.upstream, text("hello", true))
			r.write(r.upstream, text("hello", false))
			r.expect(r.client, text("hello", false))
			waitUntil(t, "both flows to be parked", func() bool { return r.isParked(&r.up) && r.isParked(&r.down) })
			if r.Tunnel.client.Attached() || r.pumps.Load() != 0 {
				t.Error("something waits for a quiet tunnel")
			}
		})
	}
}

// holding is a wrapper that keeps what is written until there is more, and shows
// what it wraps.
type holding struct {
	net.Conn
	w *bufio.Writer
}

func (h holding) Write(p []byte) (int, error) { return h.w.Write(p) }
func (h holding) Raw() net.Conn               { return h.Conn }
func (h holding) Close() error                { return errors.Join(h.w.Flush(), h.Conn.Close()) }

func TestPromise6WrapperOfUnknownKindKeepsWhatItHolds(t *testing.T) {
	t.Parallel()
	r := newRig(t, true, tcpPair, func(t testing.TB) (near, far net.Conn) {
		n, f := tcpPair(t)
		return holding{n, bufio.NewWriterSize(n, 4096)}, f
	})
	r.write(r.client, text("last words", true))
	closeWrite(r.client)
	r.expect(r.upstream, text("last words", true))
	r.expectEnd(r.upstream)
	r.result()
}
