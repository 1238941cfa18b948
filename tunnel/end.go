package tunnel

import (
	"fmt"
	"time"
)

const (
	// lostGrace is how long the client of a lost upstream may take to answer.
	lostGrace = 5 * time.Second
	// closedGrace is how long peers that have closed by themselves may keep
	// their connections open.
	closedGrace = 10 * time.Second
	// DefaultHalfOpen is how long a tunnel with one direction ended may carry
	// nothing in the other, where its owner says nothing.
	DefaultHalfOpen = 2 * time.Minute
)

// end is how a tunnel comes to its end: a state machine without side effects.
// Its states and transitions are drawn in the package page. Guarded by the
// tunnel's mu.
type end struct {
	up, down half
	verdict  verdict
	finOnly  bool // the verdict is that of a FIN, which ends one direction only

	closing  bool  // we close: with words, until deadline
	words    words // of our close frames
	deadline int64 // by the clock
	lost     error // the upstream takes nothing more; nil: it does
	parting  bool  // both peers have closed, and are waited for
	awaited  bool  // one has closed and ended, and the answer is waited for
	seen     int64 // bytes that had moved when a half-open tunnel was last looked at
	cut      cutting
}

// words are what a close frame says.
type words struct {
	code   uint16
	reason string
}

// verdict is who ended the tunnel, and with which words.
type verdict struct {
	by By
	words
	err error
}

// cutting is whether the connections are being closed.
type cutting uint8

const (
	notCut cutting = iota
	cutGently
	cutHard // whoever still writes is torn away
)

// signal is what an end can meet.
type signal uint8

const (
	closeAsked   signal = iota // somebody calls Close
	begun                      // Start is called
	closePassed                // a whole close frame of the source has passed
	eofSeen                    // the source has sent its FIN
	sourceBroke                // reading from the source failed
	sinkBroke                  // writing to the destination failed
	closeSent                  // our close frame has gone to the destination
	closeDropped               // there is no place for it any more
	finRefused                 // the destination cannot end one direction alone
	timeUp                     // the timer has fired
)

// input is a signal with what belongs to it.
type input struct {
	signal
	up    bool // the direction
	words      // of closeAsked and closePassed
	err   error

	by       By    // of closeAsked
	deadline int64 // of closeAsked, by the clock

	// The same for all signals.
	now      int64         // by the clock
	moved    int64         // bytes that have passed so far
	started  bool          // the tunnel is relaying
	halfOpen time.Duration // how long a half-open tunnel may be silent; negative: for ever
}

// actions are what a step asks for.
type actions struct {
	queueUp, queueDown bool // our close frame
	muteUp             bool // the upstream gets nothing more
	fin                bool // the FIN of the signal's direction is to be passed on
	timer              int64
	cut                cutting
}

// of returns a direction and the other one.
func (e *end) of(up bool) (this, other *half) {
	if up {
		return &e.up, &e.down
	}
	return &e.down, &e.up
}

// step takes a signal and returns what is to be done.
func (e *end) step(in input) (do actions) {
	this, other := e.of(in.up)
	switch {
	case in.signal == closeAsked:
		e.ask(in, &do)
		return do
	case in.signal == timeUp:
		e.expire(in, &do)
		return do
	case e.cut != notCut:
		return do
	}
	switch in.signal {
	case begun:
		if e.closing {
			e.queue(&do)
		}
	case closePassed:
		this.closeSeen = true
		e.judge(verdict{by: peer(in.up), words: in.words})
	case eofSeen:
		this.eof = true
		switch {
		case !in.up && e.lost != nil:
			e.loseUpstream(e.lost, in, &do)
		case e.lost == nil:
			e.finOnly = e.verdict.by == ""
			e.judge(verdict{by: peer(in.up)})
			fallthrough
		default:
			this.fin = !other.eof && !this.queued // our close frame comes first
			do.fin = this.fin
		}
	case sourceBroke:
		this.eof = true
		if in.up { // the client is gone, and what it sent has been forwarded
			e.loseClient(in.err, &do)
			return do
		}
		e.loseUpstream(in.err, in, &do)
	case sinkBroke:
		if !in.up {
			e.loseClient(in.err, &do)
			return do
		}
		e.refuse(in, &do)
	case closeSent:
		this.queued, this.sent = false, true
		if e.verdict.code == 0 {
			e.verdict.words = e.words
		}
	case closeDropped:
		this.queued = false
		if this.eof && !this.fin { // a FIN inside a frame is all that can be said
			this.fin, do.fin = true, true
		}
	case finRefused:
		this.finRefused = true
	}
	e.review(in, &do)
	return do
}

// peer is who sends in a direction.
func peer(up bool) By {
	if up {
		return ByClient
	}
	return ByUpstream
}

// ask takes the wish to close. Of several the first one's words count; a later
// one may only shorten the wait.
func (e *end) ask(in input, do *actions) {
	if e.closing {
		if in.deadline < e.deadline {
			e.deadline, do.timer = in.deadline, in.deadline
		}
		return
	}
	e.judgeOurs(verdict{by: in.by, words: in.words})
	e.close(in.words, in.deadline)
	switch {
	case e.cut != notCut:
		do.timer = e.deadline
	case in.started:
		e.queue(do)
		e.review(in, do)
	}
}

// close begins to close.
func (e *end) close(w words, deadline int64) {
	e.closing, e.words, e.deadline = true, w, deadline
}

// queue has both peers sent our close frame.
func (e *end) queue(do *actions) {
	e.up.queued, e.down.queued = true, true
	do.queueUp, do.queueDown, do.timer = true, true, e.deadline
}

// judge keeps the first word on how the tunnel ended, and what the first close
// frame says: that may come later, after a FIN.
func (e *end) judge(v verdict) {
	switch {
	case e.verdict.by == "":
		e.verdict = v
	case e.verdict.err == nil:
		e.verdict.err = v.err
		if e.verdict.code == 0 {
			e.verdict.words = v.words
		}
	}
}

// judgeOurs is judge for what ends both directions: it counts before a FIN, with
// which a tunnel may go on.
func (e *end) judgeOurs(v verdict) {
	if e.finOnly && e.cut == notCut && e.verdict.code == 0 {
		e.verdict = verdict{err: e.verdict.err}
	}
	e.finOnly = false
	e.judge(v)
}

// loseClient ends a tunnel whose client is gone.
func (e *end) loseClient(err error, do *actions) {
	e.judge(verdict{by: ByError, err: fmt.Errorf("client connection: %w", err)})
	e.cut, do.cut = cutHard, cutHard
}

// refuse takes notice of an upstream that takes nothing more. What it sent before
// it broke still goes to the client.
func (e *end) refuse(in input, do *actions) {
	if e.lost == nil {
		e.lost = in.err
		if !e.closing {
			do.timer = in.now + int64(lostGrace)
		}
	}
	if e.down.eof {
		e.loseUpstream(e.lost, in, do)
	}
}

// loseUpstream has the client sent 1014, unless we close already.
func (e *end) loseUpstream(err error, in input, do *actions) {
	e.judgeOurs(verdict{by: ByError, err: fmt.Errorf("upstream connection: %w", err)})
	if e.closing {
		return
	}
	e.close(words{codeBadGateway, "backend connection lost"}, in.now+int64(lostGrace))
	e.up.queued, e.down.queued = false, true
	do.muteUp, do.queueDown, do.timer = true, true, e.deadline
}

// expire is what the timer leads to.
func (e *end) expire(in input, do *actions) {
	switch {
	case e.cut == cutHard:
	case e.closing && in.now < e.deadline: // it was set for something else
		do.timer = e.deadline
	case e.closing, e.cut == cutGently:
		e.cut, do.cut = cutHard, cutHard
	case e.lost != nil:
		e.loseUpstream(e.lost, in, do)
		e.review(in, do)
	case e.parting:
		e.cut, do.cut = cutHard, cutHard
	case !e.up.eof && !e.down.eof:
	case in.moved != e.seen: // half-open, and in use
		e.wait(in, do)
	case e.awaited:
		e.cut, do.cut = cutHard, cutHard
	case in.halfOpen >= 0:
		w := words{codeGoingAway, "half-open and silent for too long"}
		e.judgeOurs(verdict{by: ByLimit, words: w})
		e.close(w, in.now+int64(lostGrace))
		e.queue(do)
		e.review(in, do)
	}
}

// wait has a half-open tunnel looked at again.
func (e *end) wait(in input, do *actions) {
	e.seen = in.moved
	e.awaited = e.up.eof && e.up.owes(&e.down) || e.down.eof && e.down.owes(&e.up)
	switch {
	case e.awaited:
		do.timer = in.now + int64(closedGrace)
	case in.halfOpen >= 0:
		do.timer = in.now + int64(in.halfOpen)
	}
}

// review ends the tunnel if nothing more is to come, and else has one that has
// begun to end looked at again.
func (e *end) review(in input, do *actions) {
	switch {
	case e.over():
		e.cut, do.cut = cutGently, cutGently
	case e.closing || e.lost != nil:
	case e.up.closeSeen && e.down.closeSeen:
		if !e.parting { // a peer that closes again gains nothing by it
			e.parting, do.timer = true, in.now+int64(closedGrace)
		}
	case e.up.eof || e.down.eof:
		e.wait(in, do)
	}
}

// over reports whether nothing more is to come.
func (e *end) over() bool {
	if e.up.unspoken(&e.down) || e.down.unspoken(&e.up) {
		return true
	}
	if e.closing {
		return e.up.answered() && e.down.answered()
	}
	return e.lost == nil && e.up.eof && e.down.eof
}
