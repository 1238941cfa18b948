package tunnel

import (
	"sync"
	"testing"
	"time"
)

func TestTunnelCanBeAskedBeforeItStarts(t *testing.T) {
	t.Parallel()
	before := time.Now()
	tu := New(Options{})
	c, client := tcpPair(t)
	u, upstream := tcpPair(t)
	opened := tu.Stats().Opened
	if opened.Before(before) || opened.After(time.Now()) {
		t.Errorf("opened %s before it was made", before.Sub(opened))
	}
	var all sync.WaitGroup
	all.Go(func() { tu.Start(Peer{Conn: c}, Peer{Conn: u}) })
	all.Go(func() {
		if again := tu.Stats().Opened; !again.Equal(opened) {
			t.Errorf("opened %s, then %s", opened, again)
		}
	})
	all.Wait()
	_, _ = client.Close(), upstream.Close()
	if res := tu.Wait(); !res.Opened.Equal(opened) || res.Duration <= 0 || res.Duration > time.Since(before) {
		t.Errorf("result %+v", res)
	}
}
