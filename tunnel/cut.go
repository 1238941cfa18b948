package tunnel

import "time"

// cut closes both connections and ends the tunnel. Gently: everything was
// said. Otherwise whoever is still writing is torn away.
func (t *Tunnel) cut(gently bool) {
	if !t.cutting.CompareAndSwap(false, true) {
		if !gently {
			t.hurry()
		}
		return
	}
	patience := time.Now()
	if gently {
		patience = patience.Add(lostGrace) // a last frame may still be on its way out
	}
	t.mu.Lock()
	e := t.ends()
	if e.patience.IsZero() { // else somebody hurries already
		e.patience = patience
	}
	t.client.abort(e.patience)
	t.upstream.abort(e.patience)
	t.mu.Unlock()
	t.up.stop()
	t.down.stop()
	t.client.close(gently)
	t.upstream.close(gently)
	t.up.leave()
	t.down.leave()

	t.mu.Lock()
	if e.timer != nil {
		e.timer.Stop()
	}
	e.judge(verdict{by: ByError})
	e.result = &Result{
		Stats: t.Stats(), Duration: time.Duration(clock() - t.opened),
		By: e.verdict.by, Code: e.verdict.code, Reason: e.verdict.reason, Err: e.verdict.err,
	}
	res, done := *e.result, e.done
	t.mu.Unlock()
	if t.owner != nil {
		t.owner.Ended(res)
	}
	if done != nil {
		close(done)
	}
}

// hurry has a cut that goes on gently wait for nobody any more.
func (t *Tunnel) hurry() {
	t.mu.Lock()
	t.ends().patience = past
	t.client.abort(past)
	t.upstream.abort(past)
	t.mu.Unlock()
	t.up.stop() // the set does not have the client any more
	t.client.hangUp()
	t.down.stop()
	t.upstream.hangUp()
}
