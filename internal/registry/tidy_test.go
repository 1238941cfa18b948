package registry

import (
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// tidied is a tidier that notes its runs.
type tidied struct {
	tidier
	runs []int64
}

func newTidied() *tidied {
	d := &tidied{}
	d.after = tidyAfter
	d.tidy = func(n int64) { d.runs = append(d.runs, n) }
	return d
}

// change opens tunnels, or closes them, and lets time pass.
func (d *tidied) change(by int, then time.Duration) {
	for range by {
		d.opened()
	}
	for range -by {
		d.closed()
	}
	time.Sleep(then)
	synctest.Wait()
}

func TestMemoryIsReturnedAfterABurst(t *testing.T) {
	t.Parallel()
	const long = 10 * tidyAfter
	for _, c := range []struct {
		name  string
		steps func(*tidied)
		want  []int64
	}{
		{"few tunnels", func(d *tidied) { d.change(tidyMin, long) }, nil},
		{"many", func(d *tidied) { d.change(1000, long) }, []int64{1000}},
		{"half as many again", func(d *tidied) { d.change(1000, long); d.change(500, long) }, []int64{1000}},
		{"more than that", func(d *tidied) { d.change(1000, long); d.change(501, long) }, []int64{1000, 1501}},
		{"not before it is over", func(d *tidied) {
			for range 10 {
				d.change(500, tidyAfter)
			}
			d.change(0, long)
		}, []int64{5000}},
		{"one that is gone", func(d *tidied) { d.change(1000, tidyAfter/2); d.change(-1000, long) }, nil},
		{"one after another that is gone", func(d *tidied) { d.change(1000, long); d.change(-1000, long); d.change(300, long) }, []int64{1000, 300}},
		{"a rush during a run", func(d *tidied) {
			note := d.tidy
			d.tidy = func(n int64) {
				d.tidy = note
				note(n)
				for range 1000 {
					d.opened()
				}
			}
			d.change(1000, long)
		}, []int64{1000, 2000}},
		{"comings and goings", func(d *tidied) {
			d.change(1000, long)
			for range 20 {
				d.change(200, 0)
				d.change(-200, tidyAfter)
			}
		}, []int64{1000}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newTidied()
				c.steps(d)
				if !slices.Equal(d.runs, c.want) || d.waiting.Load() {
					t.Errorf("ran with %d tunnels, want %d; waiting: %t", d.runs, c.want, d.waiting.Load())
				}
			})
		})
	}
}

// Not parallel: nothing else is to collect garbage meanwhile.
func TestMemoryOfAnotherLargeHeapIsNotCollected(t *testing.T) {
	forced := func() uint32 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.NumForcedGC
	}
	runtime.GC() // what was alive at the last run counts
	before := forced()
	freeMemory(1)
	if forced() != before+1 {
		t.Error("nothing was given back")
	}
	big := make([]byte, tidyBase+tidyEach+1)
	runtime.GC()
	before = forced()
	freeMemory(1)
	if forced() != before {
		t.Error("a heap that one tunnel does not account for was collected")
	}
	runtime.KeepAlive(big)
}
