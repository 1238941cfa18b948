package registry

import (
	"time"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/tunnel"
)

// treat applies closing to the open tunnels of a closed gate. While a
// configuration is in force that may still be taken back, only an operator's
// own word is carried out, by the closing of before; the rest waits for settle.
func (e *Entry) treat(now time.Time) {
	s := e.gate.Snapshot()
	c := s.Closing
	if !e.reg.settled() {
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
	e.beginDrain(c.Plan(now, s.Verdict, s.Override), by)
}

// drain is what became of the tunnels that were told to end. One that begins
// before the last tunnel of another is gone counts on.
type drain struct {
	gate.Drain           // the newest words, and the deadline
	of         time.Time // when the gate closed
	told       int
	left       int // of those: still open
}

// beginDrain has every open tunnel told to end by the deadline. A tunnel that
// was told before keeps its words, and its deadline unless this one is earlier.
// The operator does not wait for it: thousands of close frames take a while.
func (e *Entry) beginDrain(d gate.Drain, by tunnel.By) {
	since := e.gate.Snapshot().Since
	e.mu.Lock()
	defer e.mu.Unlock()
	fresh := len(e.tunnels) - e.drain.left
	again := fresh == 0 && (e.drain.left > 0 || e.drain.of.Equal(since))
	e.drain.of = since
	switch {
	case !again:
		if e.drain.left == 0 {
			e.drain.told = 0
		}
		e.drain.Drain = d
		e.drain.told += fresh
		e.drain.left += fresh
	case !d.Deadline.Before(e.drain.Deadline):
		return // it has said so
	default:
		e.drain.Deadline = d.Deadline
	}
	if len(e.tunnels) == 0 {
		return
	}
	open := append([]*Tunnel(nil), e.tunnels...)
	for _, t := range open {
		t.told.Store(true)
	}
	before, done := e.telling, make(chan struct{})
	e.telling = done
	go func() {
		defer close(done)
		if before != nil {
			<-before // the first one's words count
		}
		tell(open, tunnel.Closing{By: by, Code: d.Code, Reason: d.Reason, Deadline: d.Deadline})
	}()
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
func tell(open []*Tunnel, c tunnel.Closing) {
	batch := max(tellAtOnce, len(open)/tellPauses)
	if time.Until(c.Deadline) < 2*tellPauses*tellPause {
		batch = len(open)
	}
	tick := time.NewTicker(tellPause)
	defer tick.Stop()
	for i, t := range open {
		if i > 0 && i%batch == 0 {
			<-tick.C
		}
		t.Close(c)
	}
}
