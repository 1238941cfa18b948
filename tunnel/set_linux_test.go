package tunnel

import (
	"fmt"
	"testing"
	"time"

	"github.com/wsgate/wsgate/tunnel/internal/sock"
)

// Tests have two sets on any machine, so that tunnels of both meet.
func init() {
	sock.FewestSets = 2
	leaks = append(leaks, heldPlaces)
}

// heldPlaces reports places in the sets that nobody gave back.
func heldPlaces() string {
	for i, held := range sock.Held() {
		if held != 0 {
			return fmt.Sprintf("%d places in set %d", held, i)
		}
	}
	return ""
}

func TestPromise4SetWaitsForNoHand(t *testing.T) {
	t.Parallel()
	r := newRig(t, true, tcpPair, tcpPair)
	r.up.turn.Lock() // as a pump that writes to a peer that does not read
	woken := make(chan struct{})
	go func() {
		r.up.Wake(make([]byte, bufferSize))
		close(woken)
	}()
	select {
	case <-woken:
	case <-time.After(limit):
		t.Error("the set waits for a turn")
	}
	r.up.turn.Unlock()
	r.write(r.client, text("still here", true))
	r.expect(r.upstream, text("still here", true))
}
