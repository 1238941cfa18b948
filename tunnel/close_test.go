package tunnel

import (
	"testing"
	"time"
)

func TestPromise4DeadlineHurriesACutThatIsGentle(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, r *rig) {
		done := make(chan struct{})
		go func() { // floods until it is cut off
			defer close(done)
			big := makeFrame(finBit|opBinary, make([]byte, 64<<10), false)
			for {
				if _, err := r.upstream.Write(big); err != nil {
					return
				}
			}
		}()
		waitUntil(t, "the client's window to fill", func() bool { return stuck(r.Tunnel) })
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
