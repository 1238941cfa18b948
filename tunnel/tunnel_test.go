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

func TestPromise6BytesPassUntouched(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, r *rig) {
		r.write(r.client, text("up", true))
		r.expect(r.upstream, text("up", true))
		r.write(r.upstream, text("down", false))
		r.expect(r.client, text("down", false))
		garbage := []byte{0x8b, 0x05, 1, 2, 3, 4, 5, 0xff, 0x00} // no frames any RFC knows
		r.write(r.client, garbage)
		r.expect(r.upstream, garbage)
		waitUntil(t, "the count", func() bool { return r.Stats().BytesUp > int64(len(text("up", true))) })
		if s := r.Stats(); s.MessagesUp != 1 || s.MessagesDown != 1 || s.BytesUp != int64(len(text("up", true))+len(garbage)) {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestPromise6LargeMessagesPassBothWaysAtOnce(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, r *rig) {
		up := makeFrame(finBit|opBinary, randomBytes(3<<20), true)
		down := makeFrame(finBit|opBinary, randomBytes(5<<20), false)
		var both sync.WaitGroup
		both.Go(func() { _, _ = r.client.Write(up) })
		both.Go(func() { _, _ = r.upstream.Write(down) })
		both.Go(func() { r.same(r.upstream, up) })
		both.Go(func() { r.same(r.client, down) })
		both.Wait()
		waitUntil(t, "the count", func() bool {
			s := r.Stats()
			return s.BytesUp == int64(len(up)) && s.BytesDown == int64(len(down))
		})
		if s := r.Stats(); s.BytesUp != int64(len(up)) || s.BytesDown != int64(len(down)) || s.MessagesUp != 1 || s.MessagesDown != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// same is expect for other goroutines than the test's.
func (r *rig) same(c net.Conn, want []byte) {
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		r.t.Errorf("%d bytes did not arrive whole: %v", len(want), err)
	}
}

func randomBytes(n int) []byte {
	p := make([]byte, n)
	source := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = source.Read(p)
	return p
}

func TestPromise6EarlyBytesComeFirst(t *testing.T) {
	t.Parallel()
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			r := &rig{t: t, ended: make(chan Result, 1)}
			r.Tunnel = New(Options{Owner: owner(r.ended)})
			c, client := w.client(t)
			u, upstream := w.upstream(t)
			r.client, r.upstream = client, upstream
			r.startOn(w.set, Peer{c, text("early up", true)}, Peer{u, text("early down", false)})
			r.write(r.client, text("later", true))
			r.expect(r.upstream, append(text("early up", true), text("later", true)...))
			r.expect(r.client, text("early down", false))
			_ = r.client.Close()
			_ = r.upstream.Close()
			r.result()
		})
	}
}

func TestPromise6HalfCloseLeavesTheOtherDirectionOpen(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, r *rig) {
		r.write(r.client, text("last words", true))
		closeWrite(r.client)
		r.expect(r.upstream, text("last words", true))
		r.expectEnd(r.upstream)
		for range 3 {
			r.write(r.upstream, text("still talking", false))
			r.expect(r.client, text("still talking", false))
		}
		closeWrite(r.upstream)
		r.expectEnd(r.client)
		if res := r.result(); res.By != ByClient || res.Code != 0 || res.Err != nil {
			t.Errorf("result %+v", res)
		}
	})
}

func TestPromise6UpstreamMayEndItsDirectionFirst(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, r *rig) {
		closeWrite(r.upstream)
		r.expectEnd(r.client)
		r.write(r.client, text("you may still hear me", true))
		r.expect(r.upstream, text("you may still hear me", true))
		closeWrite(r.client)
		r.expectEnd(r.upstream)
		if res := r.result(); res.By != ByUpstream || res.Err != nil {
			t.Errorf("result %+v", res)
		}
	})
}

func TestPeersCloseAmongThemselves(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, r *rig) {
		r.write(r.client, closeFrame(4321, "done", true))
		got := make([]byte, len(closeFrame(4321, "done", true)))
		if _, err := io.ReadFull(r.upstream, got); err != nil {
			t.Fatal(err)
		}
		r.write(r.upstream, closeFrame(4321, "done", false))
		r.expect(r.client, closeFrame(4321, "done", false))
		_ = r.upstream.Close()
		r.expectEnd(r.client)
		_ = r.client.Close()
		if res := r.result(); res.By != ByClient || res.Code != 4321 || res.Reason != "done" || res.Err != nil {
			t.Errorf("result %+v", res)
		}
	})
}

func TestPromise6LostUpstreamIsTold(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, r *rig) {
		r.write(r.upstream, text("before", false))
		r.expect(r.client, text("before", false))
		reset(r.upstream)
		r.expect(r.client, closeFrame(1014, "backend connection lost", false))
		r.write(r.client, closeFrame(1014, "", true))
		r.expectEnd(r.client)
		if res := r.result(); res.Code != 1014 || res.By != ByError || res.Err == nil {
			t.Errorf("result %+v", res)
		}
	})
}

func TestPromise6UpstreamLostAfterALargeFrameIsTold(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, r *rig) {
		for range 3 { // the third time its pump waits for more of the kind
			large := makeFrame(finBit|opBinary, make([]byte, 64<<10), false)
			var all sync.WaitGroup
			all.Go(func() { r.write(r.upstream, large) })
			r.expect(r.client, large)
			all.Wait()
		}
		reset(r.upstream)
		r.expect(r.client, closeFrame(1014, "backend connection lost", false))
		r.write(r.client, closeFrame(1014, "", true))
		r.expectEnd(r.client)
		if res := r.result(); res.Code != 1014 || res.By != ByError || res.Err == nil {
			t.Errorf("result %+v", res)
		}
	})
}

func TestLostClientFreesTheUpstream(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, r *rig) {
		r.write(r.client, text("hello", true))
		r.expect(r.upstream, text("hello", true))
		reset(r.client)
		r.expectEnd(r.upstream)
		if res := r.result(); res.By != ByError || res.Err == nil || res.Code != 0 {
			t.Errorf("result %+v", res)
		}
	})
}

// soon is a closing with enough time for everybody who answers.
func soon(code uint16, reason string) Closing {
	return Closing{By: ByGate, Code: code, Reason: reason, Deadline: time.Now().Add(limit)}
}

func TestPromise5CloseCarriesCodeAndReasonAndWaitsForTheAnswer(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, r *rig) {
		r.write(r.client, text("hello", true))
		r.expect(r.upstream, text("hello", true))
		r.Close(soon(1013, "closed for the night"))
		r.Close(soon(1001, "too late"))
		r.expect(r.client, closeFrame(1013, "closed for the night", false))
		r.expectClose(r.upstream, 1013, "closed for the night")
		r.write(r.upstream, text("nobody hears this", false))
		r.write(r.client, closeFrame(1013, "", true))
		r.write(r.upstream, closeFrame(1013, "", false))
		r.expectEnd(r.client)
		r.expectEnd(r.upstream)
		if res := r.result(); res.By != ByGate || res.Code != 1013 || res.Reason != "closed for the night" || res.Err != nil {
			t.Errorf("result %+v", res)
		}
	})
}

// expectClose reads one close frame, masked or not.
func (r *rig) expectClose(c net.Conn, code uint16, reason string) {
	r.t.Helper()
	var tr tracker
	var payload []byte
	for one := make([]byte, 1); ; {
		if _, err := io.ReadFull(c, one); err != nil {
			r.t.Fatalf("reading a close frame: %v after %q", err, payload)
		}
		_, p, e := tr.step(one)
		payload = append(payload, p...)
		if e == closeEnd {
			break
		}
		if e != noEvent {
			r.t.Fatalf("another frame than a close: %q", payload)
		}
	}
	if key, masked := tr.key(); masked {
		mask(payload, key)
	}
	if gotCode, got := parseClose(payload); gotCode != code || got != reason {
		r.t.Fatalf("got close %d %q, want %d %q", gotCode, got, code, reason)
	}
}

func TestPromise5CloseWaitsForTheEndOfAFrame(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, r *rig) {
		frame := text("a frame in two parts", false)
		for range 3 {
			r.write(r.upstream, frame)
			r.expect(r.client, frame)
		}
		r.write(r.upstream, frame[:5])
		r.expect(r.client, frame[:5])
		r.Close(soon(1013, "now"))
		r.expectClose(r.upstream, 1013, "now") // the other direction need not wait
		r.write(r.upstream, append(frame[5:], text("nobody hears this", false)...))
		r.expect(r.client, append(frame[5:], closeFrame(1013, "now", false)...))
		r.write(r.client, closeFrame(1013, "", true))
		r.write(r.upstream, closeFrame(1013, "", false))
		r.expectEnd(r.client)
		r.result()
	})
}

func TestPromise5CloseOfAHalfOpenTunnelWaitsForTheEndOfAFrame(t *testing.T) {
	t.Parallel()
	for _, up := range []bool{false, true} { // the direction that has ended
		everyWay(t, func(t *testing.T, r *rig) {
			gone, there := r.upstream, r.client
			if up {
				gone, there = there, gone
			}
			closeWrite(gone)
			r.expectEnd(there)
			frame := text("a frame in two parts", !up)
			r.write(there, frame[:8])
			r.expect(gone, frame[:8])
			r.Close(soon(1013, "now"))
			r.write(there, frame[8:])
			r.expect(gone, frame[8:])
			r.expectClose(gone, 1013, "now")
			closeWrite(there)
			r.expectEnd(gone)
			if res := r.result(); res.Code != 1013 || res.Reason != "now" || res.Err != nil || res.Duration > limit/2 {
				t.Errorf("result %+v", res)
			}
		})
	}
}

func TestPromise5UnfinishedFrameIsCutAtTheDeadline(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, r *rig) {
		frame := text("never finished", false)
		r.write(r.upstream, frame[:6])
		r.expect(r.client, frame[:6])
		c := soon(1013, "now")
		c.Deadline = time.Now().Add(200 * time.Millisecond)
		r.Close(c)
		rest, _ := io.ReadAll(r.client)
		if len(rest) > 0 {
			t.Errorf("a frame was cut by %q", rest)
		}
		r.result()
	})
}

func TestPromise5OnlyOneCloseFrameWhenEverybodyClosesAtOnce(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, r *rig) {
		var all sync.WaitGroup
		all.Go(func() { _, _ = r.client.Write(closeFrame(1000, "client", true)) })
		all.Go(func() { _, _ = r.upstream.Write(closeFrame(1000, "upstream", false)) })
		all.Go(func() { r.Close(soon(1013, "gate")) })
		all.Wait()
		closeWrite(r.client)
		closeWrite(r.upstream)
		for name, c := range map[string]net.Conn{"client": r.client, "upstream": r.upstream} {
			stream, err := io.ReadAll(c)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			var tr tracker
			closes := 0
			for len(stream) > 0 {
				n, _, e := tr.step(stream)
				stream = stream[n:]
				if e == closeEnd {
					closes++
				}
			}
			if closes != 1 || !tr.boundary() {
				t.Errorf("%s got %d close frames, at a boundary: %v", name, closes, tr.boundary())
			}
		}
		r.result()
	})
}

func TestPromise4StalledReaderIsCutAtTheDeadline(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, r *rig) {
		done := r.flood()
		began := time.Now()
		r.Close(Closing{By: ByShutdown, Code: 1001, Deadline: time.Now().Add(300 * time.Millisecond)})
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("Close took %s", took)
		}
		r.result()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("ended after %s", took)
		}
		<-done
	})
}

// flood has the upstream write until it is cut off, and returns when the client,
// which does not read, takes no more. done is closed at the end.
func (r *rig) flood() (done chan struct{}) {
	r.t.Helper()
	done = make(chan struct{})
	go func() {
		defer close(done)
		big := makeFrame(finBit|opBinary, make([]byte, 64<<10), false)
		for {
			if _, err := r.upstream.Write(big); err != nil {
				return
			}
		}
	}()
	waitUntil(r.t, "the client's window to fill", func() bool { return stuck(r.Tunnel) })
	return done
}

// stuck reports whether nothing moves any more.
func stuck(t *Tunnel) bool {
	before := t.Stats().BytesDown
	pause := time.NewTimer(50 * time.Millisecond)
	<-pause.C
	return before > 0 && t.Stats().BytesDown == before
}

func waitUntil(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.After(limit); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestLaterCloseOnlyShortensTheDeadline(t *testing.T) {
	t.Parallel()
	r := newRig(t, true, tcpPair, tcpPair)
	r.Close(soon(1013, "first"))
	r.Close(Closing{By: ByShutdown, Code: 1001, Reason: "second", Deadline: time.Now().Add(50 * time.Millisecond)})
	if res := r.result(); res.By != ByGate || res.Code != 1013 || res.Duration > 5*time.Second {
		t.Errorf("result %+v", res)
	}
}

func TestDeadlineMayBeAnyTime(t *testing.T) {
	t.Parallel()
	for what, deadline := range map[string]time.Time{"zero": {}, "long past": past, "the end of time": time.Unix(1<<62, 0)} {
		r := newRig(t, true, tcpPair, tcpPair)
		r.Close(Closing{By: ByGate, Code: 1013, Deadline: deadline})
		if what == "the end of time" {
			r.expectClose(r.client, 1013, "")
			r.Close(Closing{By: ByGate, Code: 1013})
		}
		if res := r.result(); res.Code != 1013 || res.Duration > limit/2 {
			t.Errorf("%s: %+v", what, res)
		}
	}
}

func TestClosesStartAndEndAllAtOnce(t *testing.T) {
	t.Parallel()
	for range 100 {
		tu := New(Options{})
		c, client := tcpPair(t)
		u, upstream := tcpPair(t)
		var all sync.WaitGroup
		all.Go(func() { tu.Start(Peer{Conn: c}, Peer{Conn: u}) })
		all.Go(func() { tu.Close(Closing{By: ByGate, Code: 1013, Deadline: time.Now().Add(time.Hour)}) })
		all.Go(func() { tu.Close(Closing{By: ByShutdown, Code: 1001, Deadline: time.Now().Add(limit)}) })
		all.Go(func() { _, _ = client.Close(), upstream.Close() })
		all.Wait()
		if res := tu.Wait(); res.By == "" {
			t.Fatalf("result %+v", res)
		}
		tu.mu.Lock()
		if timer := tu.ending.timer; timer != nil && timer.Stop() {
			t.Error("a tunnel that has ended is kept by a timer")
		}
		tu.mu.Unlock()
	}
}

func TestCloseBeforeStartIsCarriedOut(t *testing.T) {
	t.Parallel()
	ended := make(chan Result, 1)
	tu := New(Options{Owner: owner(ended)})
	tu.Close(Closing{By: ByGate, Code: 1013, Reason: "too late", Deadline: time.Now().Add(limit)})
	c, client := tcpPair(t)
	u, upstream := tcpPair(t)
	tu.Start(Peer{Conn: c}, Peer{Conn: u})
	r := &rig{t: t, Tunnel: tu}
	r.expect(client, closeFrame(1013, "too late", false))
	r.expectClose(upstream, 1013, "too late")
	_ = client.Close()
	_ = upstream.Close()
	if res := <-ended; res.By != ByGate {
		t.Errorf("result %+v", res)
	}
}

func TestIdleForMeasuresFromTheLastMovement(t *testing.T) {
	t.Parallel()
	r := newRig(t, true, tcpPair, tcpPair)
	now := time.Now()
	if got := r.IdleFor(now); got != 0 {
		t.Errorf("first call: %s", got)
	}
	if got := r.IdleFor(now.Add(time.Minute)); got != time.Minute {
		t.Errorf("a quiet minute: %s", got)
	}
	r.write(r.client, text("moved", true))
	r.expect(r.upstream, text("moved", true))
	waitUntil(t, "the count", func() bool { return r.Stats().BytesUp > 0 })
	if got := r.IdleFor(now.Add(2 * time.Minute)); got != 0 {
		t.Errorf("after a message: %s", got)
	}
}

func TestPromise9ParkedTunnelHasNoGoroutine(t *testing.T) {
	r := newRig(t, true, tcpPair, tcpPair)
	if r.Tunnel.client.Set() == nil {
		t.Fatal("no set on this system")
	}
	r.write(r.client, text("hello", true))
	r.expect(r.upstream, text("hello", true))
	r.write(r.client, makeFrame(finBit|opBinary, make([]byte, 1<<20), true))
	r.same(r.upstream, makeFrame(finBit|opBinary, make([]byte, 1<<20), true))
	waitUntil(t, "both flows to be parked", func() bool { return r.isParked(&r.up) && r.isParked(&r.down) })
}

// Small messages between large ones make a pump read, then haul, then read.
func TestPromise9TunnelIsParkedAfterMixedMessages(t *testing.T) {
	r := newRig(t, true, tcpPair, tcpPair)
	var mixed []byte
	for range 20 {
		mixed = append(mixed, text("small", true)...)
		mixed = append(mixed, makeFrame(finBit|opBinary, make([]byte, 64<<10), true)...)
	}
	var all sync.WaitGroup
	all.Go(func() { r.write(r.client, mixed) })
	r.same(r.upstream, mixed)
	all.Wait()
	waitUntil(t, "both flows to be parked", func() bool { return r.isParked(&r.up) && r.isParked(&r.down) })
}

func (r *rig) isParked(f *flow) bool {
	f.turn.Lock()
	defer f.turn.Unlock()
	return f.parked
}

func TestPromise9QuietSocketsAreDetachedAgain(t *testing.T) {
	r := newRig(t, true, tcpPair, tcpPair)
	if !r.Tunnel.client.Tries() {
		t.Skip("sockets stay in their net.Conns on this system")
	}
	big := makeFrame(finBit|opBinary, make([]byte, 1<<20), true)
	for range 3 { // each time a pump comes, and goes
		done := make(chan struct{})
		go func() {
			r.write(r.client, big)
			close(done)
		}()
		r.expect(r.upstream, big)
		<-done
		waitUntil(t, "the sockets to be detached", func() bool {
			return !r.Tunnel.client.Attached() && !r.Tunnel.upstream.Attached()
		})
	}
	r.write(r.upstream, text("still there", false))
	r.expect(r.client, text("still there", false))
}

func TestPumpsStayWithBriskSources(t *testing.T) {
	t.Parallel()
	tu := New(Options{}) // never started: nobody else touches it
	f := &tu.up
	if got := f.patience(); got != 0 {
		t.Errorf("a source that was never parked is waited for %s", got)
	}
	f.parkedAt = millis()
	if got := f.patience(); got != briskPatience {
		t.Errorf("one that was parked just now is waited for %s", got)
	}
	f.parkedAt = millis() - uint32(brisk.Milliseconds())
	if got := f.patience(); got != 0 {
		t.Errorf("one that was parked long ago is waited for %s", got)
	}
}

func TestPromise5AnswerOfOnePeerIsNotTheCloseOfTheOther(t *testing.T) {
	t.Parallel()
	for range 200 { // a peer that answers at once, with words of its own
		r := newRig(t, true, tcpPair, tcpPair)
		var upstream sync.WaitGroup
		upstream.Go(func() {
			r.expectClose(r.upstream, 1013, "closed for the night")
			_, _ = r.upstream.Write(closeFrame(1000, "", false))
		})
		r.Close(soon(1013, "closed for the night"))
		r.expect(r.client, closeFrame(1013, "closed for the night", false))
		upstream.Wait()
		r.write(r.client, closeFrame(1000, "", true))
		r.expectEnd(r.client)
		r.expectEnd(r.upstream)
	}
}

// late is a close that only its deadline would end, after the test.
func late() Closing {
	return Closing{By: ByGate, Code: 1013, Reason: "now", Deadline: time.Now().Add(3 * limit)}
}

func TestPromise5CloseInsideACloseFrameEndsWithIt(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, r *rig) {
		bye := closeFrame(1001, "going away", true)
		r.write(r.upstream, closeFrame(1001, "going away", false))
		r.expectClose(r.client, 1001, "going away")
		r.write(r.client, bye[:9])
		r.expect(r.upstream, bye[:9])
		r.Close(late())
		r.write(r.client, append(bytes.Clone(bye[9:]), text("a word too many", true)...))
		r.expect(r.upstream, bye[9:])
		r.expectEnd(r.client)
		r.expectEnd(r.upstream)
		r.result()
	})
}

func TestPromise5CloseBesideACloseFrameEndsWithIt(t *testing.T) {
	t.Parallel()
	r := newRig(t, true, tcpPair, tcpPair)
	r.write(r.upstream, closeFrame(1001, "going away", false))
	r.expectClose(r.client, 1001, "going away")
	r.up.turn.Lock() // as whoever moves the client's close frame
	r.Close(late())
	r.up.track(closeFrame(1001, "going away", true))
	r.up.release()
	r.result()
}

func TestStreamIsKeptForTheAnswerToItsClose(t *testing.T) {
	t.Parallel()
	r := newRig(t, true, streamingPair, tcpPair)
	r.write(r.upstream, closeFrame(4321, "", false))
	closeWrite(r.upstream)
	r.expect(r.client, closeFrame(4321, "", false))
	r.write(r.client, closeFrame(4321, "", true))
	r.expectClose(r.upstream, 4321, "")
	r.expectEnd(r.client)
	if res := r.result(); res.By != ByUpstream || res.Code != 4321 || res.Duration > closedGrace/2 {
		t.Errorf("result %+v", res)
	}
}

func TestStreamEndsWithItsUpstream(t *testing.T) {
	t.Parallel()
	r := newRig(t, true, streamingPair, tcpPair)
	r.write(r.upstream, text("last words", false))
	closeWrite(r.upstream)
	r.expect(r.client, text("last words", false))
	r.expectEnd(r.client)
	if res := r.result(); res.By != ByUpstream || res.Code != 0 || res.Err != nil {
		t.Errorf("result %+v", res)
	}
}

func TestPromise6FramesOfAllSizesAreMovedWholeAndCounted(t *testing.T) {
	t.Parallel()
	sizes := []int{0, 1, 125, 126, 4 << 10, spliceTestMin - 1, spliceTestMin, spliceTestMin + 1, 40_000, 64 << 10, 200_000, 1 << 20, 3 << 20}
	everyWay(t, func(t *testing.T, r *rig) {
		source := rand.New(rand.NewPCG(7, 7))
		stream := func(masked bool) (all []byte, messages int64) {
			for len(all) < 24<<20 {
				for range 1 + source.IntN(20) { // runs of large ones, as bulk has them
					all = append(all, makeFrame(finBit|opBinary, randomBytes(64<<10), masked)...)
					messages++
				}
				all = append(all, makeFrame(finBit|opBinary, randomBytes(sizes[source.IntN(len(sizes))]), masked)...)
				messages++
				if source.IntN(3) == 0 {
					all = append(all, makeFrame(finBit|0x9, []byte("ping"), masked)...)
				}
			}
			return all, messages
		}
		up, ups := stream(true)
		down, downs := stream(false)
		inParts := func(c net.Conn, p []byte, seed uint64) {
			parts := rand.New(rand.NewPCG(seed, 1))
			for len(p) > 0 {
				n := min(len(p), 1+parts.IntN(300_000))
				if _, err := c.Write(p[:n]); err != nil {
					t.Errorf("writing: %v", err)
					return
				}
				p = p[n:]
			}
		}
		began := time.Now()
		var all sync.WaitGroup
		all.Go(func() { inParts(r.client, up, 1) })
		all.Go(func() { inParts(r.upstream, down, 2) })
		all.Go(func() { r.same(r.upstream, up) })
		all.Go(func() { r.same(r.client, down) })
		all.Wait()
		waitUntil(t, "the counts", func() bool {
			s := r.Stats()
			ok := s.BytesUp == int64(len(up)) && s.BytesDown == int64(len(down)) && s.MessagesUp == ups && s.MessagesDown == downs
			if !ok && time.Since(began) > 10*time.Second {
				t.Fatalf("counted %+v, want %d and %d bytes, %d and %d messages", s, len(up), len(down), ups, downs)
			}
			return ok
		})
		r.Close(soon(1013, "between two frames"))
		r.expect(r.client, closeFrame(1013, "between two frames", false))
	})
}

// spliceTestMin is where the kernel begins to move frames, where it does.
const spliceTestMin = 16 << 10
