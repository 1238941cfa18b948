package tunnel

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// FuzzRelay sends any bytes both ways in any pieces. They come out the same;
// where the tunnel closes halfway, the frames that have begun come out whole, and
// behind them one close frame.
func FuzzRelay(f *testing.F) {
	up := bytes.Join([][]byte{text("hello", true), makeFrame(opText, []byte("half"), true), closeFrame(1000, "bye", true)}, nil)
	f.Add(up, text("down", false), uint8(1), uint8(3), true, true)
	f.Add(makeFrame(finBit|opBinary, make([]byte, 40_000), true), bytes.Repeat([]byte{0x82, 0x7e, 0xff, 0xff}, 300), uint8(0), uint8(200), false, true)
	f.Add([]byte{0x88, 0x80, 1, 2, 3, 4}, []byte{0x88}, uint8(5), uint8(5), true, false)
	f.Fuzz(func(t *testing.T, up, down []byte, upSize, downSize uint8, closing, set bool) {
		closeAt := uint8(0)
		if closing {
			closeAt = 128
		}
		across(t, set, &leg{sent: up, size: int(upSize)*17 + 1}, &leg{sent: down, size: int(downSize)*17 + 1}, closeAt, 0)
	})
}

// FuzzLargeFrames is FuzzRelay for frames that are too large for a corpus, which
// the kernel moves, several at a time: three bytes stand for each. cut is what
// the last ones lack.
func FuzzLargeFrames(f *testing.F) {
	f.Add([]byte{0x82, 128, 0, 0x82, 32, 0, 0x89, 0, 4, 0x02, 31, 255}, []byte{0x82, 255, 255}, uint8(60), uint8(3), uint8(0), uint8(0), uint8(0), true)
	f.Add(bytes.Repeat([]byte{0x82, 128, 0}, 12), bytes.Repeat([]byte{0x82, 40, 1}, 12), uint8(255), uint8(255), uint8(100), unaware, uint8(0), true)
	f.Fuzz(func(t *testing.T, up, down []byte, upSize, downSize, closeAt, ahead, cut uint8, set bool) {
		across(t, set, &leg{sent: written(up, true, cut), size: 1000 + int(upSize)<<10}, &leg{sent: written(down, false, cut), size: 1000 + int(downSize)<<10}, closeAt, ahead)
	})
}

// written returns the frames that a script stands for: the first byte of each,
// and its length.
func written(script []byte, masked bool, cut uint8) (all []byte) {
	source := rand.NewChaCha8([32]byte{'f', 'u', 'z', 'z'})
	for n := 0; len(script) > 2 && n < 24; n++ {
		payload := make([]byte, int(script[1])<<9+int(script[2]))
		_, _ = source.Read(payload)
		all = append(all, makeFrame(script[0], payload, masked)...)
		script = script[3:]
	}
	return all[:max(0, len(all)-int(cut))]
}

// Bits of ahead: who does not wait for the tunnel to close.
const (
	upEnds   uint8 = 1 << iota // the client has said all, and ended, before
	downEnds                   // the upstream has
	unaware                    // neither knows
)

// across has both peers speak at once through a tunnel, and compares what comes
// out and what was counted. The tunnel closes when so many 256ths of what they
// say have come out; zero: it does not.
func across(t *testing.T, set bool, up, down *leg, closeAt, ahead uint8) {
	t.Helper()
	up.up = true
	for _, l := range []*leg{up, down} {
		l.first = len(l.sent) * int(closeAt) / 256
		l.all = closeAt == 0 || l == up && ahead&upEnds > 0 || l == down && ahead&downEnds > 0
		l.waits = !l.all && ahead&unaware == 0
	}
	r := newRig(t, set, tcpPair, tcpPair)
	closed := make(chan struct{})
	var arrived, done sync.WaitGroup
	arrived.Add(2)
	done.Go(func() { up.speak(r.client, closed) })
	done.Go(func() { down.speak(r.upstream, closed) })
	done.Go(func() { up.listen(r.upstream, &arrived) })
	done.Go(func() { down.listen(r.client, &arrived) })
	arrived.Wait()
	if closeAt > 0 {
		r.Close(Closing{By: ByGate, Code: 4242, Reason: "fuzz", Deadline: time.Now().Add(10 * limit)}) // all is said long before
	}
	close(closed)
	done.Wait()
	got := r.result().Stats
	got.Opened = time.Time{}
	want := got
	if closeAt == 0 || !down.talksOn() || !bytes.HasPrefix(up.sent, up.came) {
		want.BytesUp, want.MessagesUp = up.passed(t)
	}
	if closeAt == 0 || !up.talksOn() || !bytes.HasPrefix(down.sent, down.came) {
		want.BytesDown, want.MessagesDown = down.passed(t)
	}
	if got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

// leg is one direction of a tunnel.
type leg struct {
	up    bool
	sent  []byte
	size  int    // of the pieces
	first int    // bytes that come out before the tunnel closes
	waits bool   // for that, before the rest is sent
	all   bool   // comes out before, or the tunnel does not close
	came  []byte // what came out
}

// speak is the source.
func (l *leg) speak(c net.Conn, closed <-chan struct{}) {
	write := func(part []byte) { _, _ = c.Write(part) }
	split(l.sent[:l.first], l.size, write)
	if l.waits {
		<-closed
	}
	split(l.sent[l.first:], l.size, write)
	closeWrite(c)
}

// listen is the destination.
func (l *leg) listen(c net.Conn, arrived *sync.WaitGroup) {
	if !l.all {
		l.came, _ = io.ReadAll(io.LimitReader(c, int64(l.first)))
		arrived.Done()
	}
	rest, _ := io.ReadAll(c)
	l.came = append(l.came, rest...)
	if l.all {
		arrived.Done()
	}
}

// talksOn reports whether the source says more behind its close frame, which RFC
// 6455 §5.5.1 forbids. A tunnel that closes does not wait for that, and what the
// source has not read yet may be lost to it.
func (l *leg) talksOn() bool {
	for _, f := range framesOf(l.sent) {
		if f.whole && f.event() == closeEnd {
			return f.end < len(l.sent)
		}
	}
	return false
}

// passed compares what came out with what was sent, and counts what of it was
// forwarded.
func (l *leg) passed(t *testing.T) (size, messages int64) {
	t.Helper()
	end, due, said := 0, -1, false // of the frames that came out; where the close frame is due; whether the source's own came out
	if l.first == 0 {
		due = 0
	}
	for _, f := range framesOf(l.sent) {
		if !f.whole {
			break
		}
		if due < 0 && f.end >= l.first {
			due = f.end
		}
		if !bytes.HasPrefix(l.came[end:], l.sent[end:f.end]) {
			break
		}
		if end = f.end; f.event() == messageEnd {
			messages++
		}
		said = said || f.event() == closeEnd
	}
	same := bytes.Equal(l.sent, l.came)
	switch {
	case l.all && !same:
		t.Fatalf("up %v: sent %d bytes, %.120x, got %d, %.120x", l.up, len(l.sent), l.sent, len(l.came), l.came)
	case same && (l.all || due < 0 || !l.waits): // the last frame has no end, or the close came too late
		return int64(len(l.came)), messages
	case said && bytes.HasPrefix(l.sent, l.came): // what follows a close says nothing, and may end anywhere
		return int64(len(l.came)), messages
	case end < due || due < 0 || l.waits && end > due:
		t.Fatalf("up %v: closed at %d, and not at %d: sent %d bytes, %.120x, got %d, %.120x", l.up, end, due, len(l.sent), l.sent, len(l.came), l.came)
	}
	own := framesOf(l.came[end:])
	if len(own) != 1 || !own[0].whole || own[0].event() != closeEnd || (own[0].key != nil) != l.up {
		t.Fatalf("up %v: not closed between two frames: sent %d bytes, %.120x, got %d, %.120x", l.up, len(l.sent), l.sent, len(l.came), l.came)
	}
	payload := bytes.Clone(own[0].payload)
	if l.up {
		mask(payload, [maskKeySize]byte(own[0].key))
	}
	if code, reason := parseClose(payload); code != 4242 || reason != "fuzz" {
		t.Fatalf("up %v: closed with %d %q", l.up, code, reason)
	}
	return int64(end), messages
}
