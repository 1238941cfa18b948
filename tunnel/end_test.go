package tunnel

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// at is the clock in the tests of the end: a step begins then, unless it says
// another time.
const at = int64(time.Hour)

var (
	errBroke  = errors.New("broke")
	bye       = words{1013, "bye"}
	tellsLost = words{1014, "backend connection lost"}
	tooLong   = words{1001, "half-open and silent for too long"}
)

// Inputs of the tests, with what belongs to them.
func asked(deadline time.Duration) input {
	return input{signal: closeAsked, by: ByGate, words: bye, deadline: at + int64(deadline)}
}
func up(s signal) input    { return input{signal: s, up: true, err: errBroke} }
func down(s signal) input  { return input{signal: s, err: errBroke} }
func closed(up bool) input { return input{signal: closePassed, up: up, words: words{4321, "done"}} }
func (in input) in(d time.Duration) input {
	in.now = at + int64(d)
	return in
}
func (in input) after(moved int64) input {
	in.moved = moved
	return in
}
func (in input) forEver() input {
	in.halfOpen = -1
	return in
}
func (in input) beforeStart() input {
	in.started, in.halfOpen = false, time.Nanosecond // marks it
	return in
}

// do is what a step asks for, with the timer as a time after at.
type do struct {
	queueUp, queueDown, muteUp, fin bool
	timer                           time.Duration
	cut                             cutting
}

func TestEndTakesEverySignalInEveryState(t *testing.T) {
	t.Parallel()
	const minute, grace, parting = time.Minute, lostGrace, closedGrace
	type step struct {
		in   input
		want do
	}
	both := func(timer time.Duration) do { return do{queueUp: true, queueDown: true, timer: timer} }
	tell := do{muteUp: true, queueDown: true, timer: grace}
	timer := func(d time.Duration) do { return do{timer: d} }
	fin := func(d time.Duration) do { return do{fin: true, timer: d} }
	gently, hard := do{cut: cutGently}, do{cut: cutHard}
	for name, c := range map[string]struct {
		steps []step
		want  verdict
	}{
		"a FIN of both": {[]step{{up(eofSeen), fin(DefaultHalfOpen)}, {down(eofSeen), gently}}, verdict{by: ByClient}},
		"a FIN of both, the upstream's first": {
			[]step{{down(eofSeen), fin(DefaultHalfOpen)}, {up(eofSeen), gently}}, verdict{by: ByUpstream},
		},
		"a FIN that cannot be passed on": {
			[]step{{down(eofSeen), fin(DefaultHalfOpen)}, {down(finRefused), gently}}, verdict{by: ByUpstream},
		},
		"a close frame and a FIN that cannot be passed on, and the answer": {
			[]step{{closed(false), do{}}, {down(eofSeen), fin(parting)}, {down(finRefused), timer(parting)}, {closed(true), gently}},
			verdict{by: ByUpstream, words: words{4321, "done"}},
		},
		"peers that close among themselves": {
			[]step{{closed(true), do{}}, {closed(false), timer(parting)}, {down(eofSeen), fin(0)}, {up(eofSeen), gently}},
			verdict{by: ByClient, words: words{4321, "done"}},
		},
		"peers that close and stay": {
			[]step{{closed(true), do{}}, {closed(false), timer(parting)}, {closed(true), do{}}, {up(timeUp).in(parting), hard}},
			verdict{by: ByClient, words: words{4321, "done"}},
		},
		"a FIN and a close frame behind it": {
			[]step{{up(eofSeen), fin(DefaultHalfOpen)}, {closed(false), timer(DefaultHalfOpen)}, {down(eofSeen), gently}},
			verdict{by: ByClient, words: words{4321, "done"}},
		},
		"half-open, in use, then silent": {
			[]step{
				{up(eofSeen).after(5), fin(DefaultHalfOpen)}, {up(timeUp).after(6), timer(DefaultHalfOpen)},
				{up(timeUp).after(6), both(grace)}, {down(closeSent), do{}}, {up(closeDropped), do{}}, {closed(false), gently},
			},
			verdict{by: ByLimit, words: tooLong},
		},
		"half-open and silent, and nobody answers": {
			[]step{{up(eofSeen), fin(DefaultHalfOpen)}, {up(timeUp), both(grace)}, {up(timeUp).in(grace), hard}},
			verdict{by: ByLimit, words: tooLong},
		},
		"half-open for ever": {
			[]step{{up(eofSeen).forEver(), fin(0)}, {up(timeUp).forEver(), do{}}, {down(eofSeen).forEver(), gently}}, verdict{by: ByClient},
		},
		"half-open in use for ever": {
			[]step{{up(eofSeen).forEver(), fin(0)}, {up(timeUp).after(3).forEver(), do{}}}, verdict{by: ByClient},
		},
		"closed and ended, and no answer": {
			[]step{{closed(true), do{}}, {up(eofSeen), fin(parting)}, {up(timeUp).in(parting), hard}},
			verdict{by: ByClient, words: words{4321, "done"}},
		},
		"closed and ended, and an answer that is on its way": {
			[]step{{closed(true), do{}}, {up(eofSeen), fin(parting)}, {up(timeUp).in(parting).after(1), timer(2 * parting)}},
			verdict{by: ByClient, words: words{4321, "done"}},
		},
		"half-open, and then our close": {
			[]step{{up(eofSeen), fin(DefaultHalfOpen)}, {asked(minute), both(minute)}, {down(closeSent), do{}}, {up(closeDropped), do{}}, {down(eofSeen), gently}},
			verdict{by: ByGate, words: bye},
		},
		"half-open, a close frame, and then our close": {
			[]step{{up(eofSeen), fin(DefaultHalfOpen)}, {closed(false), timer(DefaultHalfOpen)}, {asked(minute), both(minute)}},
			verdict{by: ByClient, words: words{4321, "done"}},
		},
		"half-open, and then the upstream breaks off": {
			[]step{{up(eofSeen), fin(DefaultHalfOpen)}, {down(sourceBroke), tell}, {down(closeSent), do{cut: cutGently}}},
			verdict{by: ByError, words: tellsLost, err: errBroke},
		},
		"our close, and both answer": {
			[]step{{asked(minute), both(minute)}, {up(closeSent), do{}}, {down(closeSent), do{}}, {closed(true), do{}}, {closed(false), gently}},
			verdict{by: ByGate, words: bye},
		},
		"our close, and a FIN each for an answer": {
			[]step{{asked(minute), both(minute)}, {down(closeSent), do{}}, {up(closeSent), do{}}, {up(eofSeen), do{fin: true}}, {down(eofSeen), gently}},
			verdict{by: ByGate, words: bye},
		},
		"our close, and answers before both have it": {
			[]step{{asked(minute), both(minute)}, {down(closeSent), do{}}, {closed(true), do{}}, {closed(false), do{}}, {up(closeDropped), gently}},
			verdict{by: ByGate, words: bye},
		},
		"our close, which the source's end must not overtake": {
			[]step{{asked(minute), both(minute)}, {down(eofSeen), do{}}, {down(closeSent), do{}}}, verdict{by: ByGate, words: bye},
		},
		"our close, and a FIN that cannot be passed on, and the answer": {
			[]step{
				{asked(minute), both(minute)}, {up(closeSent), do{}}, {down(closeSent), do{}}, {down(eofSeen), do{fin: true}},
				{down(finRefused), do{}}, {closed(true), gently},
			},
			verdict{by: ByGate, words: bye},
		},
		"our close, for which there is no place": {
			[]step{{asked(minute), both(minute)}, {down(eofSeen), do{}}, {down(closeDropped), do{fin: true}}, {down(closeDropped), do{}}},
			verdict{by: ByGate, words: bye},
		},
		"our close, and its deadline": {
			[]step{{asked(minute), both(minute)}, {up(timeUp).in(minute - 1), timer(minute)}, {up(timeUp).in(minute), hard}, {up(timeUp).in(minute), do{}}},
			verdict{by: ByGate, words: bye},
		},
		"two closes, the later with an earlier deadline": {
			[]step{{asked(minute), both(minute)}, {asked(time.Second), timer(time.Second)}, {asked(time.Hour), do{}}, {asked(time.Second), do{}}},
			verdict{by: ByGate, words: bye},
		},
		"a close while it is cut gently": {
			[]step{{up(eofSeen), fin(DefaultHalfOpen)}, {down(eofSeen), gently}, {asked(minute), timer(minute)}, {up(timeUp).in(minute), hard}},
			verdict{by: ByClient, words: bye},
		},
		"a cut that somebody hurries without words": {
			[]step{{up(eofSeen), fin(DefaultHalfOpen)}, {down(eofSeen), gently}, {up(timeUp), hard}, {up(sinkBroke), do{}}, {closed(true), do{}}},
			verdict{by: ByClient},
		},
		"a close before the start": {
			[]step{{asked(minute).beforeStart(), do{}}, {up(begun), both(minute)}}, verdict{by: ByGate, words: bye},
		},
		"a start without a close": {[]step{{up(begun), do{}}}, verdict{}},
		"the client breaks off":   {[]step{{up(sourceBroke), hard}}, verdict{by: ByError, err: errBroke}},
		"the client takes nothing": {
			[]step{{down(sinkBroke), hard}}, verdict{by: ByError, err: errBroke},
		},
		"the upstream breaks off, and the client answers": {
			[]step{{down(sourceBroke), tell}, {down(closeSent), do{}}, {closed(true), gently}}, verdict{by: ByError, words: tellsLost, err: errBroke},
		},
		"the upstream breaks off inside a frame": {
			[]step{{down(sourceBroke), tell}, {down(closeDropped), do{fin: true}}, {up(eofSeen), do{cut: cutGently}}}, verdict{by: ByError, err: errBroke},
		},
		"the upstream breaks off, and the client does not answer": {
			[]step{{down(sourceBroke), tell}, {down(closeSent), do{}}, {up(timeUp).in(grace), hard}}, verdict{by: ByError, words: tellsLost, err: errBroke},
		},
		"the upstream breaks off while we close": {
			[]step{{asked(minute), both(minute)}, {down(closeSent), do{}}, {up(closeSent), do{}}, {down(sourceBroke), do{}}, {closed(true), gently}},
			verdict{by: ByGate, words: bye, err: errBroke},
		},
		"the upstream takes nothing, and then ends": {
			[]step{{up(sinkBroke), timer(grace)}, {up(sinkBroke), do{}}, {down(eofSeen), tell}, {down(closeSent), do{}}, {up(eofSeen), do{cut: cutGently}}},
			verdict{by: ByError, words: tellsLost, err: errBroke},
		},
		"the upstream takes nothing, and goes on": {
			[]step{{up(sinkBroke), timer(grace)}, {up(timeUp).in(grace), do{muteUp: true, queueDown: true, timer: 2 * grace}}},
			verdict{by: ByError, err: errBroke},
		},
		"the upstream takes nothing any more after its FIN": {
			[]step{{down(eofSeen), fin(DefaultHalfOpen)}, {up(sinkBroke), tell}}, verdict{by: ByError, err: errBroke},
		},
		"the upstream takes nothing while we close": {
			[]step{{asked(minute), both(minute)}, {up(sinkBroke), do{}}}, verdict{by: ByGate, words: bye},
		},
		"the client ends before the loss is told": {
			[]step{{up(sinkBroke), timer(grace)}, {up(eofSeen), do{fin: true}}, {down(sourceBroke), tell}}, verdict{by: ByError, err: errBroke},
		},
		"a timer that is late": {[]step{{up(timeUp), do{}}}, verdict{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var e end
			for i, s := range c.steps {
				in := s.in
				if in.now == 0 {
					in.now = at
				}
				if in.halfOpen == time.Nanosecond {
					in.halfOpen = 0
				} else {
					in.started = true
				}
				if in.halfOpen == 0 {
					in.halfOpen = DefaultHalfOpen
				}
				did := e.step(in)
				got := do{did.queueUp, did.queueDown, did.muteUp, did.fin, 0, did.cut}
				if did.timer != 0 {
					got.timer = time.Duration(did.timer - at)
				}
				if got != s.want {
					t.Fatalf("step %d: %+v, want %+v", i, got, s.want)
				}
			}
			if v := e.verdict; v.by != c.want.by || v.words != c.want.words || !errors.Is(v.err, c.want.err) {
				t.Errorf("verdict %+v, want %+v", v, c.want)
			}
		})
	}
}

func TestEndNamesTheConnectionThatBroke(t *testing.T) {
	t.Parallel()
	for want, in := range map[string]input{"client connection: ": up(sourceBroke), "upstream connection: ": down(sourceBroke)} {
		var e end
		if e.step(in); e.verdict.err == nil || !strings.HasPrefix(e.verdict.err.Error(), want) {
			t.Errorf("%v, want %q", e.verdict.err, want)
		}
	}
}
