package tunnel

// An order is a close frame that a flow is to put in: a command that is obeyed
// between two frames by whoever has the hand.

// command has a close frame written when the flow next stands between two
// frames and somebody lets go of the hand: whoever has it, or obey.
func (f *flow) command(frame []byte) { f.order.Store(&frame) }

// obey carries out an order if it can be done at once, and has it done by a
// goroutine where that could block. If the hand is taken, whoever has it
// obeys when it lets go.
func (f *flow) obey() {
	if !f.hand.TryLock() {
		return
	}
	order := f.order.Load()
	switch {
	case order == nil || f.is(stopped):
	case f.is(told|sawClose|shut) || f.is(ended) && !f.frames.boundary():
		f.met.Or(told) // too late
		f.discharge()
	case !f.frames.boundary(): // whoever brings the rest of the frame obeys
	case f.parked:
		n := 0
		if f.sink().kind == plain {
			n = f.tryWrite(*order)
		}
		if n == len(*order) {
			f.said()
			f.met.Or(told)
			f.discharge()
			break
		}
		rest := (*order)[n:]
		f.order.Store(&rest)
		f.unpark()
		go f.pump(nil)
		return // the hand goes with it
	default: // the pump is reading
		go f.pumpOnce()
		return
	}
	f.hand.Unlock()
}

// said notes the words of an order that has gone out, if they are the first.
func (f *flow) said() {
	t := f.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.end; e.verdict.code == 0 {
		e.verdict.code, e.verdict.reason = e.closing.Code, TrimReason(e.closing.Reason)
	}
}

// discharge takes an order off the flow: it is carried out, or too late. Nothing
// else may be left to wait for. The hand is held.
func (f *flow) discharge() {
	f.order.Store(nil)
	f.t.review()
}

// release lets go of the hand, and obeys what came meanwhile.
func (f *flow) release() {
	f.hand.Unlock()
	if f.order.Load() != nil {
		f.obey()
	}
}

// putIn writes an order that waits, if the flow stands between two frames. The
// hand is held.
func (f *flow) putIn() error {
	order := f.order.Load()
	if order == nil || !f.frames.boundary() {
		return nil
	}
	var err error
	if !f.is(told | sawClose | shut) {
		f.t.dress()
		if _, err = f.sink().conn.Write(*order); err == nil {
			f.said()
		}
	}
	f.met.Or(told)
	f.discharge()
	return err
}
