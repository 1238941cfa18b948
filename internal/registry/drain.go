package registry

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/tunnel"
)

// applyClosing applies the closing to the open tunnels of a closed gate. While
// the configuration in force may still be taken back, it does so only after an
// operator's switch, with the closing of the older configuration. Everything
// else waits until the configuration is final.
func (e *Entry) applyClosing(now time.Time) {
	s := e.gate.Snapshot()
	c := s.Closing
	if !e.reg.isFinal() {
		switch {
		case s.Override == nil:
			return
		case s.Override.Closing == nil:
			c = e.policyAtCheckpoint().Closing
		}
	}
	if s.Open || !c.Drain {
		return
	}
	by := tunnel.ByGate
	if s.Override != nil {
		by = tunnel.ByOperator
	}
	e.drain.begin(e.table.each, c.Plan(now, s.Verdict, s.Override), s.Since, by)
}

// drain counts the tunnels that are told to end: they are sent a close frame.
// If a new drain begins before the last tunnel of the old one is gone, the count
// continues. Safe for concurrent use.
type drain struct {
	left     atomic.Int64 // tunnels that were told, and are still open
	finished func(DrainFinished)

	mu        sync.Mutex // guards the fields below
	plan      gate.Drain // code, reason and deadline of the newest drain
	closedAt  time.Time  // when the gate closed
	told      int
	published bool        // the end of the drain
	round     *closeRound // the newest one; nil: there was none
}

// closeRound closes many tunnels, one after the other.
type closeRound struct {
	hurry chan struct{} // closed when the next round waits for this one
	done  chan struct{} // closed when all tunnels are told
}

// begin closes all open tunnels, and cuts them at the deadline. A tunnel that
// was told before keeps its code and reason. It also keeps its deadline, unless
// the new one is earlier. begin does not wait until all are told, because
// thousands of close frames take a while. since is when the gate closed.
func (d *drain) begin(each func(func(*Tunnel)), plan gate.Drain, since time.Time, by tunnel.By) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := int(d.left.Add(1) - 1) // count one more, so that the drain does not end while tunnels are told
	defer d.noteEnded(1, true)
	var open []*Tunnel
	fresh := 0
	each(func(t *Tunnel) {
		if t.told.CompareAndSwap(false, true) {
			d.left.Add(1)
			fresh++
		}
		open = append(open, t)
	})
	again := fresh == 0 && (before > 0 || d.closedAt.Equal(since))
	d.closedAt = since
	switch {
	case !again:
		if before == 0 {
			d.told, d.published = 0, false
		}
		d.plan = plan
		d.told += fresh
	case !plan.Deadline.Before(d.plan.Deadline):
		return // these tunnels are told already
	default:
		d.plan.Deadline = plan.Deadline
	}
	if len(open) == 0 {
		return
	}
	earlier, now := d.round, &closeRound{hurry: make(chan struct{}), done: make(chan struct{})}
	d.round = now
	if earlier != nil {
		close(earlier.hurry)
	}
	go func() {
		defer close(now.done)
		if earlier != nil {
			<-earlier.done // the first close frame of a tunnel counts
		}
		now.closeTunnels(open, tunnel.Closing{By: by, Code: plan.Code, Reason: plan.Reason, Deadline: plan.Deadline})
	}()
}

// noteEnded notes that n tunnels that were told have ended. After the last one
// it publishes the end of the drain. held says that d.mu is held.
func (d *drain) noteEnded(n int64, held bool) {
	if d.left.Add(-n) > 0 {
		return
	}
	if !held {
		d.mu.Lock()
		defer d.mu.Unlock()
	}
	if d.left.Load() > 0 || d.told == 0 || d.published { // a new drain has begun, or this one has ended before
		return
	}
	d.published = true
	d.finished(DrainFinished{Told: d.told, Took: time.Since(d.closedAt)})
}

// fill adds the state of the drain to a status.
func (d *drain) fill(st *Status, open bool, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := int(d.left.Load())
	if left > 0 || !open && d.closedAt.Equal(st.Since) {
		st.DrainTold, st.Draining = d.told, left
		st.DrainUntil, st.DrainCode, st.DrainReason = d.plan.Deadline, d.plan.Code, d.plan.Reason
	}
	if !open && left > 0 && now.Before(d.plan.Deadline) {
		st.State = gate.Draining
	}
}

const (
	// closeAtOnce is how many tunnels are closed without a pause, at least.
	closeAtOnce = 5
	// closePause is the pause between them. It leaves time for handshakes.
	closePause = time.Millisecond
	// maxPauses bounds the pauses, so that the last tunnel is told after a
	// second and a half, however many there are.
	maxPauses = 1500
)

// closeTunnels closes tunnels. It pauses between many of them, because their
// answers would use all the time of the machine.
func (r *closeRound) closeTunnels(open []*Tunnel, c tunnel.Closing) {
	batch := max(closeAtOnce, len(open)/maxPauses)
	if time.Until(c.Deadline) < 2*maxPauses*closePause {
		batch = len(open)
	}
	tick := time.NewTicker(closePause)
	defer tick.Stop()
	for i, t := range open {
		if i > 0 && i%batch == 0 {
			select {
			case <-tick.C:
			case <-r.hurry:
			}
		}
		t.Close(c)
	}
}
