package tunnel

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// FuzzRelay sends any bytes both ways in any pieces. They come out the same;
// where the tunnel closes meanwhile, what comes out is a beginning of them that
// ends between two frames, and one close frame.
func FuzzRelay(f *testing.F) {
	up := bytes.Join([][]byte{text("hello", true), makeFrame(opText, []byte("half"), true), closeFrame(1000, "bye", true)}, nil)
	f.Add(up, text("down", false), uint8(1), uint8(3), true, true)
	f.Add(makeFrame(finBit|opBinary, make([]byte, 40_000), true), bytes.Repeat([]byte{0x82, 0x7e, 0xff, 0xff}, 300), uint8(0), uint8(200), false, true)
	f.Add([]byte{0x88, 0x80, 1, 2, 3, 4}, []byte{0x88}, uint8(5), uint8(5), true, false)
	f.Fuzz(func(t *testing.T, up, down []byte, upSize, downSize uint8, closing, set bool) {
		r := newRig(t, set, tcpPair, tcpPair)
		var gotUp, gotDown []byte
		var all sync.WaitGroup
		all.Go(func() { send(r.client, up, upSize) })
		all.Go(func() { send(r.upstream, down, downSize) })
		all.Go(func() { gotUp, _ = io.ReadAll(r.upstream) })
		all.Go(func() { gotDown, _ = io.ReadAll(r.client) })
		if closing {
			r.Close(Closing{By: ByGate, Code: 4242, Reason: "fuzz", Deadline: time.Now().Add(5 * time.Second)})
		}
		all.Wait()
		sameOrClosed(t, "up", up, gotUp, closing)
		sameOrClosed(t, "down", down, gotDown, closing)
		r.result()
	})
}

// send writes p in pieces, and then ends its direction.
func send(c net.Conn, p []byte, size uint8) {
	split(p, int(size)*17+1, func(part []byte) { _, _ = c.Write(part) })
	closeWrite(c)
}

// closesIn reports whether a whole close frame lies in p.
func closesIn(p []byte) bool {
	var tr tracker
	for len(p) > 0 {
		n, _, e := tr.step(p)
		if e == closeEnd {
			return true
		}
		p = p[n:]
	}
	return false
}

func sameOrClosed(t *testing.T, way string, sent, got []byte, closing bool) {
	t.Helper()
	if bytes.Equal(sent, got) {
		return
	}
	if !closing {
		t.Fatalf("%s: sent %d bytes, %d came out: %.80x, %.80x", way, len(sent), len(got), sent, got)
	}
	n := 0
	for n < len(sent) && n < len(got) && sent[n] == got[n] {
		n++
	}
	if n == len(got) && closesIn(got) {
		return // the source closed first; what it sends after that says nothing
	}
	// Our close frame stands at a boundary of what was sent, up to n.
	for at := n; at >= 0; at-- {
		var tr tracker
		for p := sent[:at]; len(p) > 0; {
			k, _, _ := tr.step(p)
			p = p[k:]
		}
		if !tr.boundary() {
			continue
		}
		var own tracker
		rest := got[at:]
		k, payload, e := own.step(rest)
		if e != closeEnd || k != len(rest) {
			continue
		}
		payload = bytes.Clone(payload)
		if key, masked := own.key(); masked {
			mask(payload, key)
		}
		if code, reason := parseClose(payload); code == 4242 && reason == "fuzz" {
			return
		}
	}
	t.Fatalf("%s: neither the same nor closed between two frames: sent %.120x, got %.120x", way, sent, got)
}
