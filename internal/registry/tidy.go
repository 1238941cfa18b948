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
	// tidyAfter is how long a burst of handshakes has to be over.
	tidyAfter = time.Second
	// tidyMin is how many more tunnels a run needs, in addition to a quarter.
	tidyMin = 250
	// tidyBase and tidyEach bound the heap that a run may scan. A larger heap
	// belongs to something other than tunnels, and is left to Go's collector.
	tidyBase, tidyEach = 64 << 20, 64 << 10
)

// tidier returns memory to the system after a burst of handshakes. Handshakes
// leave more memory behind than quiet tunnels hold. Quiet tunnels make no
// garbage, so Go's collector would come after two minutes (runtime/proc.go,
// forcegcperiod), and would return the memory little by little. A run needs a
// quarter more tunnels than the last one, so that the cost of each tunnel stays
// the same however many there are.
type tidier struct {
	live    atomic.Int64 // tunnels in all tables
	mark    atomic.Int64 // how many there were at the last run, or fewer since
	waiting atomic.Bool  // a burst may not be over yet

	after time.Duration
	tidy  func(tunnels int64)
}

func (d *tidier) opened() { d.consider(d.live.Add(1)) }

// consider plans a run if it is worth it for n tunnels.
func (d *tidier) consider(n int64) {
	if d.worth(n) && d.waiting.CompareAndSwap(false, true) {
		time.AfterFunc(d.after, func() { d.tidyIfQuiet(n) })
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
	return n > mark+mark/4+tidyMin
}

// tidyIfQuiet starts a run if there are hardly more tunnels than before.
func (d *tidier) tidyIfQuiet(before int64) {
	n := d.live.Load()
	if n > before+before/50 {
		time.AfterFunc(d.after, func() { d.tidyIfQuiet(n) })
		return
	}
	if d.worth(n) {
		d.mark.Store(n)
		d.tidy(n)
	}
	d.waiting.Store(false)
	d.consider(d.live.Load()) // tunnels that were opened meanwhile did not plan a run
}

// freeMemory collects garbage and returns free memory to the system.
func freeMemory(tunnels int64) {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() == metrics.KindUint64 && sample[0].Value.Uint64() > uint64(tidyBase+tidyEach*tunnels) {
		return
	}
	began := time.Now()
	debug.FreeOSMemory()
	logLine(zapcore.DebugLevel, "memory of handshakes given back to the system", zap.Int64("tunnels", tunnels), zap.Duration("took", time.Since(began)))
}
