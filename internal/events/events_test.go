package events

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// ear hears events, and can be made to hang.
type ear struct {
	mu     sync.Mutex
	heard  []string
	missed []int
	hang   chan struct{} // nil: it does not
}

func (e *ear) hear(ev Event) {
	e.mu.Lock()
	hang := e.hang
	e.mu.Unlock()
	if hang != nil {
		<-hang
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, fmt.Sprint(ev.What))
}

func (e *ear) miss(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.missed = append(e.missed, n)
}

func (e *ear) set(hang chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hang = hang
}

func (e *ear) all() (heard []string, missed []int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.heard), slices.Clone(e.missed)
}

// listening returns a hub with one listener.
func listening(bound int) (*Hub, *ear) {
	h, e := new(Hub), new(ear)
	h.Listen(Listener{Hear: e.hear, Missed: e.miss, Bound: bound})
	return h, e
}

func numbers(from, to int) (all []string) {
	for i := from; i <= to; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

func TestListenerGetsEventsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := listening(0)
		began := time.Now()
		var at time.Time
		h.Listen(Listener{Hear: func(ev Event) { at = ev.At }})
		for i := range 1000 {
			h.Publish(Event{What: i + 1})
		}
		synctest.Wait()
		if heard, missed := e.all(); !slices.Equal(heard, numbers(1, 1000)) || missed != nil {
			t.Errorf("heard %v, missed %v", heard, missed)
		}
		if !at.Equal(began) {
			t.Errorf("at %s, want %s", at, began)
		}
		h.Publish(Event{What: 1001}) // after a rest
		synctest.Wait()
		if heard, _ := e.all(); len(heard) != 1001 {
			t.Errorf("heard %d", len(heard))
		}
	})
}

func TestListenerThatHangsDelaysNobodyAndLearnsWhatItMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, slow := listening(10)
		quick := new(ear)
		h.Listen(Listener{Hear: quick.hear})
		hang := make(chan struct{})
		slow.set(hang)
		began := time.Now()
		for i := range 100 {
			h.Publish(Event{What: i + 1})
			synctest.Wait()
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("publishing took %s", took)
		}
		if heard, _ := quick.all(); len(heard) != 100 {
			t.Errorf("the other one has heard %d", len(heard))
		}
		slow.set(nil)
		close(hang)
		synctest.Wait()
		h.Publish(Event{What: "later"})
		synctest.Wait()
		heard, missed := slow.all()
		if want := append(numbers(1, 11), "later"); !slices.Equal(heard, want) || !slices.Equal(missed, []int{89}) {
			t.Errorf("heard %v, want %v; missed %v, want 89", heard, want, missed)
		}
	})
}

func TestMissedStateOfAGateIsRecalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := listening(2)
		var asked []string
		h.SetRecaller(func(gate string, from uint64) []Event {
			asked = append(asked, fmt.Sprint(gate, " from ", from))
			// While it looks, something more happens, which it has seen already.
			h.Publish(Event{Gate: gate, Lasting: true, What: gate + " later"})
			return []Event{{Gate: gate, Lasting: true, What: gate + " recalled"}, {Gate: gate, What: "not wanted"}}
		})
		hang := make(chan struct{})
		e.set(hang)
		h.Publish(Event{What: "first"})
		synctest.Wait()
		for _, ev := range []Event{
			{Gate: "a", Lasting: true, Switch: 7, What: "a heard"}, {Gate: "x", What: "x heard"},
			{Gate: "b", Lasting: true, What: "b by the clock"},
			{Gate: "a", Lasting: true, What: "a by the clock"}, {Gate: "a", Lasting: true, Switch: 9, What: "a switched"},
			{Gate: "a", Lasting: true, Switch: 8, What: "a switched"}, {Gate: "c", What: "a tunnel"},
		} {
			h.Publish(ev)
		}
		e.set(nil)
		close(hang)
		synctest.Wait()
		heard, missed := e.all()
		want := []string{"first", "a heard", "x heard", "a recalled", "not wanted", "b recalled", "not wanted", "a later", "b later"}
		if !slices.Equal(heard, want) || !slices.Equal(missed, []int{5}) || !slices.Equal(asked, []string{"a from 8", "b from 0"}) {
			t.Errorf("heard %q\nwant  %q\nmissed %v, asked %q", heard, want, missed, asked)
		}
	})
}

func TestRecalledEventIsNotDeliveredAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := new(Hub), new(ear)
		h.SetRecaller(func(gate string, _ uint64) []Event { return []Event{{Gate: gate, Lasting: true, What: "recalled"}} })
		h.Listen(Listener{
			Bound: 2,
			Hear:  e.hear,
			Missed: func(n int) { // what is published before it is recalled waits in the queue
				e.miss(n)
				h.Publish(Event{Gate: "a", Lasting: true, What: "before"})
				h.Publish(Event{Gate: "a", What: "a tunnel"})
			},
		})
		hang := make(chan struct{})
		e.set(hang)
		for i := range 4 {
			h.Publish(Event{Gate: "a", Lasting: true, What: i})
			synctest.Wait()
		}
		e.set(nil)
		close(hang)
		synctest.Wait()
		h.Publish(Event{Gate: "a", Lasting: true, What: "after"})
		synctest.Wait()
		if heard, _ := e.all(); !slices.Equal(heard, []string{"0", "1", "2", "recalled", "a tunnel", "after"}) {
			t.Errorf("heard %q", heard)
		}
	})
}

func TestListenerGetsOnlyTheEventsThatItWants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := new(Hub), new(ear)
		h.Publish(Event{What: "nobody listens"})
		stop := h.Listen(Listener{Hear: e.hear, Wants: func(ev Event) bool { return ev.Gate == "a" }})
		h.Publish(Event{Gate: "a", What: "yes"})
		h.Publish(Event{Gate: "b", What: "no"})
		synctest.Wait()
		stop()
		h.Publish(Event{Gate: "a", What: "too late"})
		synctest.Wait()
		if heard, _ := e.all(); !slices.Equal(heard, []string{"yes"}) {
			t.Errorf("heard %v", heard)
		}
	})
}

func TestStopDropsTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := new(Hub), new(ear)
		stop := h.Listen(Listener{Hear: e.hear, Missed: e.miss, Bound: 1})
		hang := make(chan struct{})
		e.set(hang)
		for i := range 9 {
			h.Publish(Event{What: i})
			synctest.Wait()
		}
		stop()
		close(hang)
		synctest.Wait()
		if heard, missed := e.all(); !slices.Equal(heard, []string{"0"}) || missed != nil {
			t.Errorf("heard %v, missed %v", heard, missed)
		}
	})
}

func TestReplaceHungGivesAListenerThatHangsAnotherGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := listening(0)
		hang := make(chan struct{})
		e.set(hang)
		h.Publish(Event{What: "hangs"})
		h.Publish(Event{What: "waits"})
		synctest.Wait()
		e.set(nil)
		h.ReplaceHung()
		h.ReplaceHung()
		time.Sleep(hungAfter - time.Nanosecond)
		synctest.Wait()
		if heard, _ := e.all(); heard != nil {
			t.Errorf("not given its time: heard %v", heard)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if heard, _ := e.all(); !slices.Equal(heard, []string{"waits"}) {
			t.Errorf("heard %v", heard)
		}
		h.Publish(Event{What: "more"})
		synctest.Wait()
		close(hang)
		synctest.Wait()
		if heard, _ := e.all(); !slices.Equal(heard, []string{"waits", "more", "hangs"}) {
			t.Errorf("heard %v", heard)
		}
		h.ReplaceHung() // nothing hangs
		slow := make(chan struct{})
		e.set(slow)
		h.Publish(Event{What: "slow"})
		synctest.Wait()
		h.ReplaceHung()
		e.set(nil)
		close(slow) // in time
		h.Publish(Event{What: "and on"})
		time.Sleep(hungAfter)
		synctest.Wait()
		if heard, _ := e.all(); !slices.Equal(heard[3:], []string{"slow", "and on"}) {
			t.Errorf("heard %v", heard)
		}
	})
}

func TestListenerThatHangsAgainAndAgainGetsNoMoreGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		h, e := new(Hub), new(ear)
		h.Listen(Listener{Hear: func(ev Event) { calls.Add(1); e.hear(ev) }})
		hang := make(chan struct{})
		e.set(hang)
		for i := range 20 {
			h.Publish(Event{What: i})
		}
		for range 20 {
			h.ReplaceHung()
			time.Sleep(hungAfter)
		}
		synctest.Wait()
		if n := calls.Load(); n != maxHung+1 {
			t.Errorf("%d goroutines hang in it", n)
		}
		close(hang)
		e.set(nil)
		synctest.Wait()
		heard, _ := e.all()
		if slices.Sort(heard); len(slices.Compact(heard)) != 20 {
			t.Errorf("heard %v", heard)
		}
		e.set(make(chan struct{}))
		h.Publish(Event{What: "again"})
		h.ReplaceHung() // those that hung are back
		time.Sleep(hungAfter)
		h.Publish(Event{What: "and on"})
		e.mu.Lock()
		close(e.hang)
		e.hang = nil
		e.mu.Unlock()
		synctest.Wait()
		if heard, _ := e.all(); len(heard) != 22 {
			t.Errorf("heard %v", heard)
		}
	})
}

func TestFlushWaitsUntilAllEventsAreDeliveredOrTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := listening(0)
		h.Flush(t.Context())
		hang := make(chan struct{})
		e.set(hang)
		h.Publish(Event{What: "x"})
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		h.Flush(ctx)
		if took := time.Since(began); took != time.Second {
			t.Errorf("a listener that hangs was waited for %s", took)
		}
		time.AfterFunc(time.Minute, func() { close(hang) })
		h.Flush(t.Context())
		if heard, _ := e.all(); len(heard) != 1 {
			t.Errorf("heard %v", heard)
		}
	})
}

func TestManyPublishersAndListeners(t *testing.T) {
	h := new(Hub)
	ears := make([]*ear, 4)
	for i := range ears {
		ears[i] = new(ear)
		h.Listen(Listener{Hear: ears[i].hear, Missed: ears[i].miss, Bound: 1 + 50*i})
	}
	var publishers sync.WaitGroup
	for p := range 8 {
		publishers.Go(func() {
			for i := range 500 {
				h.Publish(Event{Gate: fmt.Sprint(p), What: fmt.Sprintf("%d %03d", p, i)})
			}
		})
	}
	publishers.Wait()
	h.Flush(t.Context())
	for _, e := range ears {
		heard, missed := e.all()
		sum := len(heard)
		for _, n := range missed {
			sum += n
		}
		if sum != 4000 {
			t.Errorf("heard %d, missed %v: together %d of 4000", len(heard), missed, sum)
		}
		last := make(map[byte]string)
		for _, s := range heard {
			if s <= last[s[0]] {
				t.Fatalf("%q came after %q", s, last[s[0]])
			}
			last[s[0]] = s
		}
	}
}

func BenchmarkPublish(b *testing.B) {
	for name, wants := range map[string]bool{"heard": true, "not wanted": false} {
		b.Run(name, func(b *testing.B) {
			h := new(Hub)
			h.Listen(Listener{Hear: func(Event) {}, Wants: func(Event) bool { return wants }})
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					h.Publish(Event{Gate: "g"})
				}
			})
		})
	}
}
