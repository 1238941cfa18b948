package tunnel

import (
	"testing"
	"time"
)

func TestPromise4DeadlineHurriesACutThatIsGentle(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, r *rig) {
		done := r.flood()
		began := time.Now()
		go r.cut(true)
		waitUntil(t, "the cut", r.cutting.Load)
		r.Close(Closing{By: ByShutdown, Code: 1001, Deadline: time.Now().Add(50 * time.Millisecond)})
		r.result()
		if took := time.Since(began); took > lostGrace/2 {
			t.Errorf("ended after %s", took)
		}
		<-done
	})
}

func TestPeersThatCloseAgainAndAgainAreNotWaitedForLonger(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, r *rig) {
		r.write(r.client, closeFrame(1000, "", true))
		r.expectClose(r.upstream, 1000, "")
		r.write(r.upstream, closeFrame(1000, "", false))
		r.expectClose(r.client, 1000, "")
		waits := func() bool { // takes the timer off
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.ending.timer.Stop()
		}
		if !waits() {
			t.Error("nobody looks at it again")
		}
		r.write(r.client, closeFrame(1000, "", true))
		r.expectClose(r.upstream, 1000, "")
		if waits() {
			t.Error("it is waited for again")
		}
	})
}

func TestPromise5TimerThatCameWithACloseLeavesItItsDeadline(t *testing.T) {
	t.Parallel()
	r := newRig(t, true, tcpPair, tcpPair)
	closeWrite(r.client)
	r.expectEnd(r.upstream)
	r.Close(late())
	r.expire() // as the timer of a half-open tunnel
	if r.cutting.Load() {
		t.Error("cut before its deadline")
	}
	r.expectClose(r.client, 1013, "now")
	r.mu.Lock()
	if !r.ending.timer.Stop() {
		t.Error("nobody looks at it again")
	}
	r.mu.Unlock()
}
