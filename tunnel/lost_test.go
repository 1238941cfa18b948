package tunnel

import (
	"io"
	"net"
	"sync"
	"testing"
)

func TestPromise6HalfClosedClientIsToldOfALostUpstream(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, r *rig) {
		r.write(r.client, text("last words", true))
		closeWrite(r.client)
		r.expect(r.upstream, text("last words", true))
		r.expectEnd(r.upstream)
		waitUntil(t, "the FIN to be passed on", func() bool { return r.up.is(finSent) })
		reset(r.upstream)
		r.expect(r.client, closeFrame(1014, "backend connection lost", false))
		r.expectEnd(r.client)
		if res := r.result(); res.Code != 1014 || res.Err == nil || res.Duration > lostGrace/2 {
			t.Errorf("result %+v", res)
		}
	})
}

func TestLossThatIsNotToldHasNoCode(t *testing.T) {
	t.Parallel()
	frame := text("never finished", false)
	for what, happens := range map[string]func(r *rig){
		"inside a frame": func(r *rig) {
			r.write(r.upstream, frame[:5])
			r.expect(r.client, frame[:5])
			reset(r.upstream)
		},
		"behind a FIN": func(r *rig) {
			closeWrite(r.upstream)
			waitUntil(r.t, "the FIN to be passed on", func() bool { return r.down.is(finSent) })
			reset(r.upstream)
			_, _ = r.client.Write(text("hello?", true))
			_, _ = r.client.Write(text("hello?", true))
		},
	} {
		everyWay(t, func(t *testing.T, r *rig) {
			happens(r)
			waitUntil(t, "the loss", func() bool {
				r.mu.Lock()
				defer r.mu.Unlock()
				return r.ending != nil && r.ending.verdict.err != nil
			})
			closeWrite(r.client)
			r.expectEnd(r.client)
			if res := r.result(); res.Code != 0 || res.Reason != "" || res.Err == nil {
				t.Errorf("%s: result %+v", what, res)
			}
		})
	}
}

func TestPromise6PeersThatEndAtOnceGetAFINEach(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	for i := range 400 {
		r := newRig(t, i%2 == 0, tcpPair, tcpPair)
		all.Go(func() { closeWrite(r.client) })
		all.Go(func() { closeWrite(r.upstream) })
		all.Go(func() {
			for _, c := range []net.Conn{r.client, r.upstream} {
				if got, err := io.ReadAll(c); len(got) > 0 || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
			}
		})
	}
	all.Wait()
}
