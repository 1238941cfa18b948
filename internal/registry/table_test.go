package registry

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/tunnel"
)

// The table of a gate's tunnels, and what it costs with a million of them
// (entries without connections).

func TestTunnelIsFoundByItsID(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	e := Acquire("g", gate.Policy{}, m)
	var all []*Tunnel
	for range 3 * shards {
		one, err := e.Admit(Admission{Upstream: "a:1"})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	for i, one := range all {
		if e.table.find(one.ID()) != one {
			t.Fatalf("tunnel %d is not found", i)
		}
	}
	if n := len(e.table.all()); n != len(all) || e.Tunnels() != n {
		t.Errorf("%d in the table, %d counted, want %d", n, e.Tunnels(), len(all))
	}
	for _, one := range all[1:] {
		one.Drop()
	}
	if e.table.find(all[0].ID()) != all[0] || e.table.find(all[1].ID()) != nil || e.Tunnels() != 1 {
		t.Errorf("%d are left", e.Tunnels())
	}
}

func TestTableShrinksAfterABurst(t *testing.T) {
	var all table
	var open []*Tunnel
	for i := range 100 * shards {
		one := &Tunnel{Tunnel: tunnel.New(tunnel.Options{}), id: TunnelID(i)}
		if err := all.add(one, func() error { return nil }); err != nil {
			t.Fatal(err)
		}
		open = append(open, one)
	}
	for _, one := range open[10*shards:] {
		all.remove(one)
	}
	for i := range all.shards {
		if most := all.shards[i].peak; most > 64 {
			t.Fatalf("shard %d is made for %d", i, most)
		}
	}
	for _, one := range open[:10*shards] {
		if all.find(one.id) != one {
			t.Fatal("a tunnel was lost")
		}
	}
}

func TestTunnelKeepsOnlyTheBeginOfItsPath(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	e := Acquire("g", gate.Policy{}, m)
	long := "/ws/" + strings.Repeat("x", 1000)
	one, err := e.Admit(Admission{Path: long, User: "ana", Handler: "h", Upstream: "a:1"})
	if err != nil {
		t.Fatal(err)
	}
	if one.path != long[:256] || one.user != "ana" || one.handler.key != "h" || one.upstream.key != "a:1" {
		t.Errorf("path %q, user %q, handler %q, upstream %q", one.path, one.user, one.handler.key, one.upstream.key)
	}
}

func TestSumsNeverDecrease(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"g": {}}))
	e := Acquire("g", gate.Policy{}, m)
	var stop atomic.Bool
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for last := (tunnel.Counts{}); !stop.Load(); {
				now := e.table.counts()
				if now.BytesUp < last.BytesUp {
					t.Errorf("%d bytes after %d", now.BytesUp, last.BytesUp)
					return
				}
				last = now
			}
		})
	}
	for range 20 {
		tun, client := open(t, e)
		if _, err := client.Write([]byte{0x81, 0x80, 0, 0, 0, 0}); err != nil {
			t.Fatal(err)
		}
		await(t, "the message", func() bool { return tun.Counts().MessagesUp == 1 })
		tun.Close(tunnel.Closing{By: tunnel.ByOperator, Deadline: time.Now()})
		tun.Wait()
	}
	stop.Store(true)
	readers.Wait()
	if n := e.table.counts().MessagesUp; n != 20 {
		t.Errorf("%d messages", n)
	}
}

func TestSumsOfManyTunnelsMayBeSomeSecondsOld(t *testing.T) {
	var all table
	for i := range sumAtOnce + 1 {
		if err := all.add(&Tunnel{Tunnel: tunnel.New(tunnel.Options{}), id: TunnelID(i)}, func() error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	all.shards[3].ended.BytesUp = 7
	await(t, "the sums", func() bool { return all.counts().BytesUp == 7 })
	all.shards[3].ended.BytesUp = 8
	if n := all.counts().BytesUp; n != 7 {
		t.Errorf("added up %d again at once", n)
	}
	all.mu.Lock()
	all.summedAt = time.Now().Add(-sumEvery - time.Second)
	all.mu.Unlock()
	await(t, "the newer sums", func() bool { return all.counts().BytesUp == 8 })
}

func TestPromise3TunnelThatBeginsDuringASwitchIsRefusedOrDrained(t *testing.T) {
	m := lonely(t)
	Begin(config(m, map[string]gate.Policy{"g": {Closing: drainsInAMinute}}))
	e := Acquire("g", gate.Policy{}, m)
	for range 25 {
		flip(t, "g", SwitchRequest{Mode: gate.On})
		var admitted sync.Map
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				for {
					one, err := e.Admit(Admission{Upstream: "a:1"})
					if err != nil {
						return // the gate is closed
					}
					admitted.Store(one, true)
				}
			})
		}
		await(t, "a tunnel", func() bool { return e.Tunnels() > 0 })
		flip(t, "g", SwitchRequest{Mode: gate.Off})
		clients.Wait()
		told := 0
		admitted.Range(func(one, _ any) bool {
			if told++; !one.(*Tunnel).told.Load() {
				t.Error("a tunnel was admitted, and not told")
			}
			return true
		})
		if s := state(t, "g"); s.DrainTold != told || s.Draining != told || s.Tunnels != told {
			t.Fatalf("told %d, left %d, open %d; want %d", s.DrainTold, s.Draining, s.Tunnels, told)
		}
		admitted.Range(func(one, _ any) bool { one.(*Tunnel).Drop(); return true })
		if s := state(t, "g"); s.DrainTold != told || s.Draining != 0 || s.State != gate.Closed {
			t.Fatalf("told %d, left %d, %s", s.DrainTold, s.Draining, s.State)
		}
	}
}

func TestDrainFinishedIsPublishedOnceForEachDrain(t *testing.T) {
	m := lonely(t)
	l := listen(t)
	Begin(config(m, map[string]gate.Policy{"g": {Closing: drainsInAMinute}}))
	e := Acquire("g", gate.Policy{}, m)
	flip(t, "g", SwitchRequest{Mode: gate.Off}) // nothing to drain
	for round := 1; round <= 3; round++ {
		flip(t, "g", SwitchRequest{Mode: gate.On})
		a, err := e.Admit(Admission{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := e.Admit(Admission{})
		if err != nil {
			t.Fatal(err)
		}
		flip(t, "g", SwitchRequest{Mode: gate.Off})
		a.Drop()
		if n, _ := l.heard(t, DrainFinished{}); n != round-1 {
			t.Errorf("%d drains are over, while the %d. goes on", n, round)
		}
		flip(t, "g", SwitchRequest{Mode: gate.Off, Reason: "said again"})
		b.Drop()
		if n, _ := l.heard(t, DrainFinished{}); n != round {
			t.Errorf("%d drains are over, want %d", n, round)
		}
	}
}

func TestRemovedGatesLeaveNoMapEntriesAndLabels(t *testing.T) {
	m := lonely(t)
	last := config(m, map[string]gate.Policy{"g": {}})
	Begin(last)
	e := Acquire("g", gate.Policy{}, m)
	for i := range 3 * mostPast { // pods and gates come and go
		name := fmt.Sprint("gate-", i)
		next := config(m, map[string]gate.Policy{"g": {}, name: {}})
		next.Limits = map[string]map[string]LimitValues{"g": {name: {}}}
		Begin(next)
		End(last)
		other := Acquire(name, gate.Policy{}, m)
		other.CountRefused("closed")
		other.Release()
		one, err := e.Admit(Admission{Upstream: fmt.Sprint("10.0.0.1:", i), Handler: name})
		if err != nil {
			t.Fatal(err)
		}
		one.Drop()
		last = next
	}
	reg.mu.Lock()
	entries, past, names := len(reg.entries), len(reg.past), len(reg.pastNames)
	reg.mu.Unlock()
	if entries != 2 || past > mostPast || names != past {
		t.Errorf("%d entries, %d of the past, %d names; want 2, at most %d", entries, past, names, mostPast)
	}
	if n := len(e.upstreams.counts()); n != 0 {
		t.Errorf("%d upstreams that nobody has", n)
	}
	if n := len(e.handlers.counts()); n != 1 {
		t.Errorf("limits of %d handlers, want those of the configuration in force", n)
	}
	if s := state(t, "g"); len(s.Upstreams) != 0 {
		t.Errorf("upstreams %+v", s.Upstreams)
	}
	var seen []string
	for _, s := range Scrape(time.Now()) {
		seen = append(seen, s.Name)
	}
	if want := []string{"g", fmt.Sprint("gate-", 3*mostPast-1)}; !slices.Equal(seen, want) {
		t.Errorf("metrics of %q, want %q", seen, want)
	}
	End(last)
}

// million is a gate with a million tunnels, which benchmarks share.
var million = sync.OnceValue(func() *Entry {
	reg = newRegistry()
	Begin(&Config{Gates: map[string]gate.Policy{"big": {}}})
	e := Acquire("big", gate.Policy{}, nil)
	for i := range 1_000_000 {
		if _, err := e.Admit(Admission{Upstream: fmt.Sprint("10.0.0.1:", i%16), Handler: "h", Path: "/ws/room"}); err != nil {
			panic(err)
		}
	}
	runtime.GC()
	return e
})

func BenchmarkMillionStatus(b *testing.B) {
	e := million()
	b.ReportAllocs()
	for b.Loop() {
		e.status(time.Now())
	}
}

func BenchmarkMillionScrape(b *testing.B) {
	million()
	b.ReportAllocs()
	for b.Loop() {
		Scrape(time.Now())
	}
}

func BenchmarkMillionFind(b *testing.B) {
	e := million()
	id := TunnelID(e.reg.lastID.Load() - 500_000)
	for b.Loop() {
		if e.table.find(id) == nil {
			b.Fatal("it is not there")
		}
	}
}

func BenchmarkMillionAdmitAndLeave(b *testing.B) {
	e := million()
	for _, goroutines := range []int{1, 8} {
		b.Run(fmt.Sprint(goroutines, " goroutines, a scrape each second"), func(b *testing.B) {
			done := make(chan struct{})
			var scraper sync.WaitGroup
			scraper.Go(func() {
				tick := time.NewTicker(time.Second)
				defer tick.Stop()
				for {
					select {
					case <-tick.C:
						Scrape(time.Now())
					case <-done:
						return
					}
				}
			})
			b.ReportAllocs()
			b.ResetTimer()
			var workers sync.WaitGroup
			for i := range goroutines {
				n := b.N / goroutines
				if i == 0 {
					n += b.N % goroutines
				}
				workers.Go(func() {
					for range n {
						one, err := e.Admit(Admission{Upstream: "10.0.0.1:1", Handler: "h", Path: "/ws/room"})
						if err != nil {
							b.Error(err)
							return
						}
						one.Drop()
					}
				})
			}
			workers.Wait()
			b.StopTimer()
			close(done)
			scraper.Wait()
		})
	}
}

func BenchmarkReloadOfThousandGates(b *testing.B) {
	reg = newRegistry()
	gates := make(map[string]gate.Policy)
	for i := range 1000 {
		gates[fmt.Sprint("gate-", i)] = gate.Policy{}
	}
	last := &Config{Gates: gates}
	Begin(last)
	for name := range gates {
		Acquire(name, gate.Policy{}, nil)
	}
	for b.Loop() {
		next := &Config{Gates: gates}
		Begin(next)
		End(last)
		last = next
	}
}
