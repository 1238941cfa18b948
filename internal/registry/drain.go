package registry

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/tunnel"
)

// applyClosing applies closing to the open tunnels of a closed gate. While a
// configuration is in force that may still be taken back, only an operator's
// own word is carried out, by the closing of before; the rest waits until it is final.
func (e *Entry) applyClosing(now time.Time) {
	s := e.gate.Snapshot()
	c := s.Closing
	if !e.reg.isFinal() {
		switch {
		case s.Override == nil:
			return
		case s.Override.Closing == nil:
			c = e.policyBefore().Closing
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

// drain is what became of the tunnels that were told to end. One that begins
// before the last tunnel of another is gone counts on. Safe for concurrent use.
type drain struct {
	left     atomic.Int64 // tunnels that were told, and are still open
	finished func(DrainFinished)

	mu      sync.Mutex // guards the fields below
	words   gate.Drain // the newest ones, and the deadline
	of      time.Time  // when the gate closed
	told    int
	over    bool     // and it was said
	telling *telling // the newest one; nil: there was none
}

// telling is a round in which tunnels are told to end.
type telling struct {
	hurry chan struct{} // closed when another round waits for this one
	done  chan struct{} // closed when all are told
}

// begin has every open tunnel told to end by the deadline. A tunnel that was
// told before keeps its words, and its deadline unless this one is earlier. The
// operator does not wait for it: thousands of close frames take a while. since
// is when the gate closed.
func (d *drain) begin(each func(func(*Tunnel)), words gate.Drain, since time.Time, by tunnel.By) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := int(d.left.Add(1) - 1) // one more: it is not over while tunnels are told
	defer d.gone(1, true)
	var open []*Tunnel
	fresh := 0
	each(func(t *Tunnel) {
		if t.told.CompareAndSwap(false, true) {
			d.left.Add(1)
			fresh++
		}
		open = append(open, t)
	})
	again := fresh == 0 && (before > 0 || d.of.Equal(since))
	d.of = since
	switch {
	case !again:
		if before == 0 {
			d.told, d.over = 0, false
		}
		d.words = words
		d.told += fresh
	case !words.Deadline.Before(d.words.Deadline):
		return // it has said so
	default:
		d.words.Deadline = words.Deadline
	}
	if len(open) == 0 {
		return
	}
	earlier, now := d.telling, &telling{hurry: make(chan struct{}), done: make(chan struct{})}
	d.telling = now
	if earlier != nil {
		close(earlier.hurry)
	}
	go func() {
		defer close(now.done)
		if earlier != nil {
			<-earlier.done // the first one's words count
		}
		now.tell(open, tunnel.Closing{By: by, Code: words.Code, Reason: words.Reason, Deadline: words.Deadline})
	}()
}

// gone notes that tunnels which were told have ended, and says so when they are
// the last. held: d.mu is.
func (d *drain) gone(n int64, held bool) {
	if d.left.Add(-n) > 0 {
		return
	}
	if !held {
		d.mu.Lock()
		defer d.mu.Unlock()
	}
	if d.left.Load() > 0 || d.told == 0 || d.over { // another one has begun, or this one was over
		return
	}
	d.over = true
	d.finished(DrainFinished{Told: d.told, Took: time.Since(d.of)})
}

// fill adds to a status what the drain has come to.
func (d *drain) fill(st *Status, open bool, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := int(d.left.Load())
	if left > 0 || !open && d.of.Equal(st.Since) {
		st.DrainTold, st.Draining = d.told, left
		st.DrainUntil, st.DrainCode, st.DrainReason = d.words.Deadline, d.words.Code, d.words.Reason
	}
	if !open && left > 0 && now.Before(d.words.Deadline) {
		st.State = gate.Draining
	}
}

const (
	// tellAtOnce is how many tunnels are told without a pause, at least.
	tellAtOnce = 5
	// tellPause is the time between: room for handshakes elsewhere.
	tellPause = time.Millisecond
	// tellPauses is how often there is one, at most: the last of however many
	// tunnels is told after a second and a half.
	tellPauses = 1500
)

// tell closes tunnels, many of them not all at once: their answers would be
// all that the machine has time for.
func (r *telling) tell(open []*Tunnel, c tunnel.Closing) {
	batch := max(tellAtOnce, len(open)/tellPauses)
	if time.Until(c.Deadline) < 2*tellPauses*tellPause {
		batch = len(open)
	}
	tick := time.NewTicker(tellPause)
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
