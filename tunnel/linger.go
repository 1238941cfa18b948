package tunnel

import (
	"errors"
	"os"
	"time"
)

// linger is how a pump waits for more before it lets its source be parked:
// being parked and woken costs more than a goroutine that stays, if more comes
// soon. The deadline is set once for many reads.
type linger struct {
	patience     time.Duration
	armed, moved bool
}

const (
	// bulkPatience is for sockets: small messages need no pump, so what brought
	// this one here was large, or met a slow reader.
	bulkPatience = 20 * time.Millisecond
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
	case f.source().kind == plain && f.sink().kind == plain:
		return linger{patience: bulkPatience}
	case f.parkedAt != 0 && millis()-f.parkedAt < uint32(brisk.Milliseconds()):
		return linger{patience: briskPatience}
	}
	return linger{patience: patience}
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
	for {
		if !l.armed {
			s.deadline(t, time.Now().Add(l.patience))
			l.armed, l.moved = true, false
		}
		n, err := s.conn.Read(p)
		if n > 0 {
			l.moved = true
			return n, nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || t.cutting.Load() {
			return 0, err
		}
		if l.armed = false; !l.moved {
			s.deadline(t, time.Time{})
			return 0, errQuiet
		}
	}
}
