package tunnel

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/wsgate/wsgate/tunnel/internal/alone"
	"github.com/wsgate/wsgate/tunnel/internal/sock"
)

// A reader that takes a little about as often as a pipe is waited for is no lost
// connection.
func TestPromise9SlowReaderGetsEverything(t *testing.T) {
	t.Parallel()
	// Less room, and the kernel itself would pause for as long: a window that is
	// smaller than a segment (64 KiB on loopback) waits for a timer.
	roomy := func(t testing.TB) (near, far net.Conn) {
		near, far = tcpPair(t)
		_ = near.(*net.TCPConn).SetWriteBuffer(128 << 10)
		_ = far.(*net.TCPConn).SetReadBuffer(256 << 10)
		return near, far
	}
	kinds := map[string][2]pair{"TCP": {tcpPair, roomy}, "TCP, dialled": {tcpPair, dialledPair}, "TLS client": {tlsPair, roomy}}
	for name, kind := range kinds {
		for _, pause := range []time.Duration{stallPatience, stallPatience * 11 / 10, stallPatience * 13 / 10} {
			t.Run(name+", "+pause.String(), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, true, kind[0], kind[1])
				var stream []byte
				for i := range 60 { // large ones and small ones by turns
					stream = append(stream, makeFrame(finBit|opBinary, randomBytes(200<<10+i), true)...)
					stream = append(stream, text("small", true)...)
				}
				stream = append(stream, closeFrame(1000, "", true)...)
				var all sync.WaitGroup
				all.Go(func() { _, _ = r.client.Write(stream) })
				all.Go(func() {
					tick := time.NewTicker(pause)
					defer tick.Stop()
					piece := make([]byte, 64<<10)
					for range 20 {
						<-tick.C
						n, err := io.ReadFull(r.upstream, piece)
						if err != nil || string(piece[:n]) != string(stream[:n]) {
							t.Errorf("a slow reader got %d bytes and %v", n, err)
							return
						}
						stream = stream[n:]
					}
					r.same(r.upstream, stream)
				})
				all.Wait()
			})
		}
	}
}

// What one peer does not read holds up only what goes to it.
func TestPromise9ReaderThatStopsHoldsUpItsDirectionOnly(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string][2]pair{"TCP": {tcpPair, tcpPair}, "TLS client": {tlsPair, tcpPair}, "TLS client, dialled": {tlsPair, dialledPair}, "TLS both": {tlsPair, tlsPair}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, true, kind[0], kind[1])
			done := r.flood() // the client does not read
			for range 50 {
				r.write(r.client, text("still talking", true))
				r.expect(r.upstream, text("still talking", true))
			}
			large := makeFrame(finBit|opBinary, randomBytes(1<<20), true)
			var all sync.WaitGroup
			all.Go(func() { r.write(r.client, large) })
			r.expect(r.upstream, large)
			all.Wait()
			r.Close(Closing{By: ByGate, Code: 1013, Reason: "now", Deadline: time.Now().Add(time.Second)})
			r.expectClose(r.upstream, 1013, "now")
			r.result()
			<-done
		})
	}
}

func TestPipesAreClosedWhenNobodyNeedsThem(t *testing.T) {
	t.Parallel()
	if !alone.Run(t, nil) { // it counts the process's pipes
		return
	}
	var rigs []*rig
	var all sync.WaitGroup
	large := makeFrame(finBit|opBinary, randomBytes(1<<20), true)
	for range 20 {
		r := newRig(t, true, tcpPair, tcpPair)
		rigs = append(rigs, r)
		all.Go(func() { r.write(r.client, large) })
		all.Go(func() { r.same(r.upstream, large) })
	}
	all.Wait()
	waitUntil(t, "the pipes to be closed", func() bool {
		kept, lent, _ := sock.Kept()
		return kept <= 2 && lent == 0
	})
	for _, r := range rigs {
		_ = r.client.Close()
		_ = r.upstream.Close()
		r.result()
	}
}
