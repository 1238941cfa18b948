package tunnel

import (
	"cmp"
	"fmt"
	"time"
)

// sourceEnded is called by a flow whose source has nothing more: err is nil
// for a FIN. No lock is held, and no hand.
func (t *Tunnel) sourceEnded(f *flow, err error) {
	if t.cutting.Load() {
		return
	}
	var lost error
	if err == nil {
		lost = t.fin(f)
	}
	switch {
	case !f.up && (err != nil || lost != nil):
		t.upstreamLost(cmp.Or(err, lost))
	case err != nil: // the client is gone, and what it sent has been forwarded
		t.broke("client", err)
		t.cut(false)
	case f.other().is(ended) || f.halfClosed():
		t.review()
	default: // an HTTP/2 or HTTP/3 stream cannot end one direction alone
		f.met.Or(unsaid)
		t.review()
	}
}

// fin takes notice of a FIN, and returns what broke the upstream if that is lost.
func (t *Tunnel) fin(f *flow) (lost error) {
	by := ByUpstream
	if f.up {
		by = ByClient
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.ends()
	if e.lost == nil {
		e.judge(verdict{by: by})
	}
	return e.lost
}

// brokeOff reports whether the upstream's end is no FIN, but what is left of a
// reset of which a write has been told. Once both have ended the two look alike,
// and what comes behind a close frame is no loss: so the other flow is looked at
// again behind the answer, which its FIN may have made. The hand is held.
func (f *flow) brokeOff() bool {
	up := &f.t.up
	return !f.up && !f.is(sawClose) && !up.is(ended) && f.source().wasReset() && !up.is(ended)
}

// unsaid reports whether the end of the flow's source is to end the tunnel: its
// destination cannot be told in another way, and has nothing to answer.
func (f *flow) unsaid() bool { return f.is(unsaid) && f.order.Load() == nil && !f.owes() }

// owes reports whether the flow's destination has been told to close and has
// not answered: it is to find its connection open for that.
func (f *flow) owes() bool {
	return f.is(sawClose|told) && !f.other().is(sawClose|ended)
}

// sinkFailed is called by a flow whose destination takes nothing more. No
// lock is held, but the flow's hand may be.
func (t *Tunnel) sinkFailed(f *flow, err error) {
	if t.cutting.Load() {
		return
	}
	if !f.up {
		t.broke("client", err)
		t.cut(false)
		return
	}
	// What the upstream sent before it broke still goes to the client.
	t.mu.Lock()
	e := t.ends()
	first := e.lost == nil && e.closing == nil
	if e.lost == nil {
		e.lost = err
	}
	if first {
		t.after(lostGrace)
	}
	t.mu.Unlock()
	if t.down.is(ended) {
		t.upstreamLost(err)
	}
	t.review()
}

// upstreamLost tells the client that its backend has broken off (1014), unless
// a close frame has gone down already.
func (t *Tunnel) upstreamLost(err error) {
	t.broke("upstream", err)
	t.mu.Lock()
	e := t.ends()
	if e.closing != nil {
		t.mu.Unlock()
		t.review()
		return
	}
	c := Closing{By: ByError, Code: codeBadGateway, Reason: "backend connection lost", Deadline: time.Now().Add(lostGrace)}
	e.closing = &c
	t.after(lostGrace)
	t.up.deaf()
	t.down.command(closeFrame(c.Code, c.Reason, false)) // before anybody takes the tunnel for settled
	t.mu.Unlock()
	t.down.obey()
	t.review()
}

// broke notes a connection that broke.
func (t *Tunnel) broke(side string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ends().judge(verdict{by: ByError, err: fmt.Errorf("%s connection: %w", side, err)})
}
