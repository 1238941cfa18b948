package tunnel

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// Tests have two sets on any machine, so that tunnels of both meet.
func init() {
	fewestSets = 2
	leaks = append(leaks, heldPlaces)
}

// heldPlaces counts the places in the sets that nobody gave back.
func heldPlaces() string {
	for i, s := range sets.all {
		s.mu.Lock()
		all, free := len(s.slots), len(s.spare)
		s.mu.Unlock()
		if free != all {
			return fmt.Sprintf("%d of %d places in set %d", all-free, all, i)
		}
	}
	return ""
}

func TestTunnelsAreSharedOutAmongTheSets(t *testing.T) {
	t.Parallel()
	used := map[*set]int{}
	for range 8 {
		used[newRig(t, true, tcpPair, tcpPair).set]++
	}
	if len(used) != 2 || len(sets.all) != 2 {
		t.Errorf("tunnels in %d of %d sets", len(used), len(sets.all))
	}
}

func TestSetsAreSharedOutForEver(t *testing.T) {
	t.Parallel()
	noSet.RLock()
	defer noSet.RUnlock()
	for _, tunnels := range []uint32{math.MaxInt32 - 1, math.MaxUint32 - 1} { // so far
		sets.next.Store(tunnels)
		for range 4 {
			if someSet() == nil {
				t.Error("none")
			}
		}
	}
}

func TestPromise4SetWaitsForNoHand(t *testing.T) {
	t.Parallel()
	r := newRig(t, true, tcpPair, tcpPair)
	r.up.hand.Lock() // as a pump that writes to a peer that does not read
	woken := make(chan struct{})
	go func() {
		r.up.wake(make([]byte, bufferSize))
		close(woken)
	}()
	select {
	case <-woken:
	case <-time.After(limit):
		t.Error("the set waits for a hand")
	}
	r.up.hand.Unlock()
	r.write(r.client, text("still here", true))
	r.expect(r.upstream, text("still here", true))
}
