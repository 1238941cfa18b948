package tunnel

// queueClose has our close frame written when the flow next stands between two
// frames: by whoever has the turn when it gives it up, or by flushClose.
func (f *flow) queueClose(w words) {
	frame := closeFrame(w.code, w.reason, f.up)
	f.closing.Store(&frame)
}

// flushClose writes our close frame if it can be done at once, and has it
// written by a goroutine where that could block. If the turn is taken, whoever
// has it calls flushClose when it gives it up.
func (f *flow) flushClose() {
	if !f.turn.TryLock() {
		return
	}
	frame := f.closing.Load()
	switch {
	case frame == nil || f.is(stopped):
	case f.is(muted|closeSeen|finSent) || f.is(eof) && !f.frames.boundary():
		f.met.Or(muted) // too late
		f.dropClose()
	case !f.frames.boundary(): // whoever brings the rest of the frame writes it
	case f.tryClose(frame):
	case f.parked:
		f.unpark()
		go f.pump()
		return // the turn goes with it
	default: // a pump is reading, or the source has ended
		go f.pumpClose()
		return
	}
	f.turn.Unlock()
}

// tryClose writes our close frame without waiting. False: what is left of it is
// still to be written. The turn is held.
func (f *flow) tryClose(frame *[]byte) bool {
	dst, n := f.sink(), 0
	if dst.Tries() {
		n, _ = dst.TryWrite(*frame) // an error shows again when the rest is written
	}
	if n < len(*frame) || dst.Pending() {
		rest := (*frame)[n:] // maybe nothing, which is still to leave
		f.closing.CompareAndSwap(frame, &rest)
		return false
	}
	f.closeWritten()
	return true
}

// writeClose writes our close frame, if there is one and the flow stands between
// two frames. It waits for the destination. The turn is held.
func (f *flow) writeClose() error {
	frame := f.closing.Load()
	switch {
	case frame == nil || !f.frames.boundary():
		return nil
	case f.is(muted | closeSeen | finSent):
		f.met.Or(muted)
		f.dropClose()
		return nil
	}
	if _, err := f.send(*frame); err != nil {
		f.met.Or(muted)
		f.dropClose()
		return err
	}
	f.closeWritten()
	return nil
}

// closeWritten takes notice that our close frame has gone. The turn is held.
func (f *flow) closeWritten() {
	f.met.Or(muted)
	f.closing.Store(nil)
	f.signal(closeSent, nil)
}

// dropClose takes notice that there is no place for our close frame any more.
// The turn is held.
func (f *flow) dropClose() {
	f.closing.Store(nil)
	if !f.signal(closeDropped, nil) {
		return
	}
	if f.sink().Tries() {
		f.passFIN()
		return
	}
	go func() { // it may wait
		f.turn.Lock()
		f.passFIN()
		f.release()
	}()
}

// pumpClose writes our close frame beside a pump that is reading.
func (f *flow) pumpClose() {
	err := f.writeClose()
	f.release()
	if err != nil {
		f.signal(sinkBroke, err)
	}
}
