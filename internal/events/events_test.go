package events

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// ear hears events, and can be made to hang.
type ear struct {
	mu     sync.Mutex
	heard  []string
	missed []Missed
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
	text := fmt.Sprint(ev.What)
	if ev.Again {
		text += " again"
	}
	e.heard = append(e.heard, text)
}

func (e *ear) miss(m Missed) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.missed = append(e.missed, m)
	text := fmt.Sprintf("missed %d of %q", m.Count, m.Gate)
	if m.Again {
		text += " again"
	}
	e.heard = append(e.heard, text)
}

func (e *ear) set(hang chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hang = hang
}

func (e *ear) all() (heard []string, missed []Missed) {
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
		if want := append(numbers(1, 11), `missed 89 of ""`, "later"); !slices.Equal(heard, want) || len(missed) != 1 {
			t.Errorf("heard %v, want %v; missed %v", heard, want, missed)
		}
	})
}

// fill makes the listener hang in one event, and fills its queue of one.
func fill(h *Hub, e *ear) (release func()) {
	hang := make(chan struct{})
	e.set(hang)
	h.Publish(Event{What: "hangs"})
	synctest.Wait()
	h.Publish(Event{What: "queued"})
	return func() {
		e.set(nil)
		close(hang)
		synctest.Wait()
	}
}

func TestEachEventIsDeliveredOrCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := listening(1)
		release := fill(h, e)
		for _, ev := range []Event{
			{Gate: "a", Switch: true, What: "a off"}, {Gate: "a", Lasting: true, What: "a closed"},
			{Gate: "a", What: "a refusal"},
			{Gate: "b", Lasting: true, What: "b closed"},
			{Gate: "a", Lasting: true, What: "a open"},
			{Gate: "a", What: "another refusal"}, {What: "a line"},
			{Gate: "a", Lasting: true, What: "a closed again"},
		} {
			h.Publish(ev)
			time.Sleep(time.Second)
		}
		release()
		h.Publish(Event{What: "later"})
		synctest.Wait()
		heard, missed := e.all()
		// Two refusals, a line, and two states of a that were not the last.
		want := []string{"hangs", "queued", `missed 5 of ""`, "a off", "b closed", "a closed again", "later"}
		if !slices.Equal(heard, want) {
			t.Errorf("heard %q\nwant  %q", heard, want)
		}
		if m := missed[0]; m.Last.Sub(m.First) != 5*time.Second {
			t.Errorf("missed from %s to %s", m.First, m.Last)
		}
	})
}

func TestSwitchesAreKeptApartFromOtherEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := listening(0)
		release := fill(h, e)
		for i := range 5000 {
			h.Publish(Event{What: "a refusal"})
			if i%2 == 0 {
				h.Publish(Event{Gate: "a", Switch: true, What: i})
			}
		}
		release()
		heard, missed := e.all()
		switched := slices.DeleteFunc(heard, func(s string) bool { return s[0] < '0' || s[0] > '9' })
		if len(switched) != 2500 || !slices.IsSortedFunc(switched, byNumber) {
			t.Errorf("heard %d switches of 2500", len(switched))
		}
		if len(missed) != 1 || missed[0].Gate != "" {
			t.Errorf("missed %+v", missed)
		}
	})
}

func byNumber(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) }

func TestDroppedSwitchesAreCountedForTheirGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := listening(4)
		release := fill(h, e)
		h.Publish(Event{Gate: "b", Switch: true, What: "b 1"}) // the queue has four
		h.Publish(Event{Gate: "b", Switch: true, What: "b 2"})
		h.Publish(Event{What: "a line"})
		h.Publish(Event{Gate: "c", Switch: true, What: "c 1"})
		for i := range 9 {
			h.Publish(Event{Gate: "a", Switch: true, What: fmt.Sprint("a ", i+1)})
			time.Sleep(time.Second)
		}
		h.Publish(Event{Gate: "b", Switch: true, What: "b 3"})
		for _, gate := range []string{"d", "e", "f"} {
			h.Publish(Event{Gate: gate, Switch: true, What: gate})
		}
		release()
		heard, missed := e.all()
		want := []string{
			"hangs", "queued", "b 1", "b 2", "a line",
			`missed 8 of "a"`, "c 1", "a 9", "b 3", "d", "e", "f",
		}
		if !slices.Equal(heard, want) {
			t.Errorf("heard %q\nwant  %q", heard, want)
		}
		if m := missed[0]; m.Last.Sub(m.First) != 7*time.Second {
			t.Errorf("missed from %s to %s", m.First, m.Last)
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

func TestListenerIsCalledAgainHoweverOftenItHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := listening(0)
		var hangs []chan struct{}
		for i := range 50 {
			hangs = append(hangs, make(chan struct{}))
			e.set(hangs[i])
			h.Publish(Event{What: "hangs"})
			synctest.Wait()
			h.ReplaceHung()
			time.Sleep(hungAfter)
		}
		e.set(nil)
		h.Publish(Event{What: "works"})
		synctest.Wait()
		if heard, _ := e.all(); !slices.Equal(heard, []string{"works"}) {
			t.Errorf("heard %q", heard)
		}
		for _, hang := range hangs {
			close(hang)
		}
		synctest.Wait()
		h.Publish(Event{What: "still"})
		synctest.Wait()
		if heard, _ := e.all(); len(heard) != 52 || heard[51] != "still" {
			t.Errorf("heard %q", heard)
		}
	})
}

func TestCallThatHangsIsRepeatedForAListenerThatAsksForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e := new(Hub), new(ear)
		silent := make(chan struct{})
		hangs := true // in Missed, once
		h.Listen(Listener{Hear: e.hear, Again: true, Bound: 1, Missed: func(m Missed) {
			if hangs {
				hangs = false
				<-silent
			}
			e.miss(m)
		}})
		replace := func() {
			h.ReplaceHung()
			time.Sleep(hungAfter)
			synctest.Wait()
		}
		lost := make(chan struct{})
		e.set(lost)
		h.Publish(Event{What: "one"})
		synctest.Wait()
		for _, what := range []string{"two", "three", "four"} {
			h.Publish(Event{What: what})
		}
		replace() // it hangs in the same call again
		e.set(nil)
		replace()
		if heard, _ := e.all(); !slices.Equal(heard, []string{"one again", "two"}) {
			t.Errorf("heard %q", heard)
		}
		replace()
		want := []string{"one again", "two", `missed 2 of "" again`}
		if heard, _ := e.all(); !slices.Equal(heard, want) {
			t.Errorf("heard %q\nwant  %q", heard, want)
		}
		close(lost)
		close(silent)
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
		for _, m := range missed {
			sum += m.Count - 1 // it was heard that they are missed
		}
		if sum != 4000 {
			t.Errorf("heard %d, missed %v: together %d of 4000", len(heard), missed, sum)
		}
		last := make(map[byte]string)
		for _, s := range heard {
			if s[0] == 'm' {
				continue
			}
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
