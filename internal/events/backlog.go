package events

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Missed says how many events a listener has missed and will not get. An event
// is counted in one Missed only.
type Missed struct {
	// Gate is the gate whose switches they are. Empty: the events are no
	// switches, and of all gates.
	Gate string
	// Count is how many they are.
	Count int
	// First and Last are when the first and the last of them were published.
	First, Last time.Time
	// Again is true if the listener hung in the first call for this Missed
	// ([Listener.Again]).
	Again bool
}

// add counts one more event.
func (m *Missed) add(e Event) {
	if m.Count == 0 || e.At.Before(m.First) {
		m.First = e.At
	}
	if e.At.After(m.Last) {
		m.Last = e.At
	}
	m.Count++
}

// backlog holds what a listener gets late of the events that came while its
// queue was full.
type backlog struct {
	bound    int                  // how many switches it holds, of all gates
	missed   Missed               // events that are no switches
	states   map[string]Event     // the last lasting event of each gate
	switches map[string]*switches // of each gate
	held     int                  // switches of all gates
}

// switches are the switches of one gate.
type switches struct {
	newest  []Event // oldest first
	dropped Missed  // those before them
}

func (b *backlog) empty() bool {
	return b.missed.Count == 0 && len(b.states) == 0 && len(b.switches) == 0
}

// add keeps an event, or counts it.
func (b *backlog) add(e Event) {
	switch {
	case e.Switch:
		b.addSwitch(e)
	case e.Lasting:
		if b.states == nil {
			b.states = make(map[string]Event)
		}
		if before, ok := b.states[e.Gate]; ok {
			b.missed.add(before)
		}
		b.states[e.Gate] = e
	default:
		b.missed.add(e)
	}
}

// addSwitch keeps a switch. If there are too many, it drops the oldest one of
// the gate that has most. It keeps the last one of each gate, however many gates
// there are.
func (b *backlog) addSwitch(e Event) {
	if b.switches == nil {
		b.switches = make(map[string]*switches)
	}
	of := b.switches[e.Gate]
	if of == nil {
		of = &switches{dropped: Missed{Gate: e.Gate}}
		b.switches[e.Gate] = of
	}
	of.newest = append(of.newest, e)
	if b.held++; b.held <= b.bound {
		return
	}
	for _, other := range b.switches {
		if len(other.newest) > len(of.newest) {
			of = other
		}
	}
	if len(of.newest) > 1 {
		of.dropped.add(of.newest[0])
		of.newest[0] = Event{}
		of.newest = of.newest[1:]
		b.held--
	}
}

// take empties the backlog. It returns how many events are missed, as events
// with a Missed, and then those that were kept, in their order.
func (b *backlog) take() (all []Event) {
	if b.missed.Count > 0 {
		all = append(all, Event{What: b.missed})
	}
	var kept []Event
	for _, gate := range slices.Sorted(maps.Keys(b.switches)) {
		of := b.switches[gate]
		if of.dropped.Count > 0 {
			all = append(all, Event{What: of.dropped})
		}
		kept = append(kept, of.newest...)
	}
	kept = slices.AppendSeq(kept, maps.Values(b.states))
	slices.SortFunc(kept, func(x, y Event) int { return cmp.Compare(x.seq, y.seq) })
	*b = backlog{bound: b.bound}
	return append(all, kept...)
}
