package tunnel

import (
	"errors"
	"os"
	"time"
)

// linger is how a pump waits for more before it lets its source be parked:
// being parked and woken costs more than a goroutine that stays, if more comes
// soon. A deadline serves many reads, and is moved on before it is over while
// something comes: one that is over wakes a goroutine which has nothing to do.
type linger struct {
	patience time.Duration // at least as long, at most twice as long; zero: for ever
	most     time.Duration // what patience grows to while more comes
	again    int64         // by the clock, when the deadline is to be moved on; zero: there is none
}

const (
	// bulkPatience is for sockets: small messages need no pump, so what brought
	// this one here was large, or met a slow reader.
	bulkPatience = 20 * time.Millisecond
	// framePatience is for sockets inside a large frame, whose rest may be on its
	// way: at most twice as long.
	framePatience = time.Second
	// patience is for a source with layers, whose messages all need a pump, and
	// which had been quiet for a while.
	patience = 2 * time.Millisecond
	// briskPatience is for one that was woken again soon after it was parked.
	briskPatience = time.Second
	// brisk is how soon.
	brisk = 200 * time.Millisecond
)

// linger returns how long the flow's pump is to wait.
func (f *flow) linger() linger {
	switch {
	case f.source().kind == opaque || !canAwait:
		return linger{} // nobody knows when it is worth asking again
	case f.source().kind == plain && f.sink().kind == plain:
		return linger{patience: bulkPatience, most: bulkPatience}
	case f.parkedAt != 0 && millis()-f.parkedAt < uint32(brisk.Milliseconds()):
		return linger{patience: briskPatience, most: briskPatience}
	}
	return linger{patience: patience, most: briskPatience}
}

// began is when this process began to count.
var began = time.Now()

// clock is a time that only goes forward, in nanoseconds; never zero.
func clock() int64 { return int64(time.Since(began)) + 1 }

// millis is the clock in milliseconds. It comes round after 49 days, which a
// difference of moments does not notice.
func millis() uint32 { return uint32(clock()/int64(time.Millisecond)) + 1 }

// read reads, and waits. errQuiet: nothing came for a while, and no layer
// holds anything back, since a read has just asked them all.
func (l *linger) read(t *Tunnel, s *side, p []byte) (int, error) {
	n, err := l.once(t, s, p)
	if n >= recordSize/2 && s.kind == layered {
		n += l.readOn(t, s, p[n:])
	}
	return n, err
}

// once reads once.
func (l *linger) once(t *Tunnel, s *side, p []byte) (int, error) {
	if l.patience == 0 {
		return s.conn.Read(p)
	}
	if now := clock(); now >= l.again {
		if l.again != 0 {
			l.patience = min(8*l.patience, l.most)
		}
		l.again = now + int64(l.patience)
		s.deadline(t, time.Now().Add(2*l.patience))
	}
	n, err := s.conn.Read(p)
	if n > 0 {
		return n, nil
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) || t.cutting.Load() {
		return 0, err
	}
	l.rest(t, s)
	return 0, errQuiet
}

// rest takes the deadline off.
func (l *linger) rest(t *Tunnel, s *side) {
	if l.again != 0 {
		l.again = 0
		s.deadline(t, time.Time{})
	}
}

// readOn reads what lies behind a large piece, of a source whose layers give a
// record at a time: as many as are there. Of one that says it is longer than it
// is, it waits for the rest as read does.
func (l *linger) readOn(t *Tunnel, s *side, p []byte) (n int) {
	for len(p)-n >= recordSize && s.waiting() >= recordSize+recordMore {
		m, err := l.once(t, s, p[n:])
		if err != nil {
			break // the next read says so again
		}
		n += m
	}
	return n
}
