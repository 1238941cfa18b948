package sock

import (
	"sync"
	"testing"
	"unsafe"
)

func TestMillionPlacesAreTakenGivenBackAndSmall(t *testing.T) {
	t.Parallel()
	const n, workers = 1_000_000, 8
	var p places
	slots := make([]int32, n)
	conns := make([]Conn, n)
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for i := w; i < n; i += workers {
				slots[i] = p.take()
				p.put(slots[i], &conns[i])
			}
		})
	}
	all.Wait()
	if blocks := len(*p.blocks.Load()); blocks != (n+blockSize-1)/blockSize || unsafe.Sizeof(block{})/blockSize > 12 {
		t.Errorf("%d blocks of %d bytes", blocks, unsafe.Sizeof(block{}))
	}
	if size := unsafe.Sizeof(Conn{}); size > 72 {
		t.Errorf("a connection has %d bytes", size)
	}
	seen := make([]bool, n)
	for i, slot := range slots {
		if seen[slot] || p.at(slot) != &conns[i] {
			t.Fatalf("place %d is taken twice", slot)
		}
		seen[slot] = true
	}
	for _, slot := range slots {
		p.free(slot)
	}
	if p.held != 0 || int(p.size) != n {
		t.Errorf("%d of %d places are held", p.held, p.size)
	}
	for range n {
		if slot := p.take(); p.at(slot) != nil {
			t.Fatalf("place %d still has somebody", slot)
		}
	}
	if int(p.size) != n {
		t.Errorf("%d places, though %d were given back", p.size, n)
	}
}

func BenchmarkPlaces(b *testing.B) {
	var p places
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		c := new(Conn)
		slot := p.take()
		for pb.Next() { // as arming does
			p.put(slot, c)
			if p.at(slot) != c {
				b.Error("lost")
			}
		}
		p.free(slot)
	})
}
