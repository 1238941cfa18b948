package registry

import (
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	// tidyAfter is how long a rush of handshakes has to be over.
	tidyAfter = time.Second
	// tidyFor is how many tunnels more, besides a quarter, are worth it.
	tidyFor = 250
	// tidyBase and tidyEach bound the heap that a run may have to look through:
	// one that the tunnels do not account for is left to Go's collector.
	tidyBase, tidyEach = 64 << 20, 64 << 10
)

// tidier gives what handshakes have left behind back to the system once a rush
// of them is over. That is more than quiet tunnels hold, and since these make
// no garbage, Go's collector would come for it after two minutes at the latest
// (runtime/proc.go, forcegcperiod), and give it back little by little. A run is
// worth it when there are a quarter more tunnels than at the last one, so each
// tunnel pays for a few of them, whatever their number.
type tidier struct {
	live    atomic.Int64 // tunnels in all tables
	mark    atomic.Int64 // how many there were at the last run, or fewer since
	waiting atomic.Bool  // for a rush to be over

	after time.Duration
	tidy  func(tunnels int64)
}

func (d *tidier) opened() { d.consider(d.live.Add(1)) }

// consider has it looked at later whether n tunnels are worth a run.
func (d *tidier) consider(n int64) {
	if d.worth(n) && d.waiting.CompareAndSwap(false, true) {
		time.AfterFunc(d.after, func() { d.look(n) })
	}
}

func (d *tidier) closed() {
	n, mark := d.live.Add(-1), d.mark.Load()
	if n < mark/2 {
		d.mark.CompareAndSwap(mark, n)
	}
}

func (d *tidier) worth(n int64) bool {
	mark := d.mark.Load()
	return n > mark+mark/4+tidyFor
}

// look tidies if hardly any tunnels were opened since there were before of them.
func (d *tidier) look(before int64) {
	n := d.live.Load()
	if n > before+before/50 {
		time.AfterFunc(d.after, func() { d.look(n) })
		return
	}
	if d.worth(n) {
		d.mark.Store(n)
		d.tidy(n)
	}
	d.waiting.Store(false)
	d.consider(d.live.Load()) // of those that were opened meanwhile, none may be the last to ask
}

// giveBack collects garbage and returns free memory to the system.
func giveBack(tunnels int64) {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() == metrics.KindUint64 && sample[0].Value.Uint64() > uint64(tidyBase+tidyEach*tunnels) {
		return
	}
	began := time.Now()
	debug.FreeOSMemory()
	logLine(zapcore.DebugLevel, "memory of handshakes given back to the system", zap.Int64("tunnels", tunnels), zap.Duration("took", time.Since(began)))
}
