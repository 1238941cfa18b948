package tunnel

import "testing"

func TestPromise6HalfClosedClientIsToldOfALostUpstream(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, r *rig) {
		r.write(r.client, text("last words", true))
		closeWrite(r.client)
		r.expect(r.upstream, text("last words", true))
		r.expectEnd(r.upstream)
		waitUntil(t, "the FIN to be passed on", func() bool { return r.up.is(shut) })
		reset(r.upstream)
		r.expect(r.client, closeFrame(1014, "backend connection lost", false))
		r.expectEnd(r.client)
		if res := r.result(); res.Code != 1014 || res.Err == nil || res.Duration > lostGrace/2 {
			t.Errorf("result %+v", res)
		}
	})
}
