package tunnel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wsgate/wsgate/tunnel/internal/sock"
)

// The chaos: tunnels of every kind, dozens at a time, whose peers write frames in
// any pieces, stall, and end in every way there is, while somebody closes the
// tunnel. It is compared, byte by byte, what each peer sent and the other got; in
// the end, nothing may be left over.
//
// What is chosen at random follows from a seed, which a failure prints. These
// variables of the environment are for longer runs, and for that one again:
//
//	WSGATE_CHAOS=16x312       rounds, and tunnels in each
//	WSGATE_CHAOS_SEED=42      instead of one by the clock
//	WSGATE_CHAOS_TUNNEL=17    that one alone
//
// Each round of the usual size has every kind of pair meet every ending.

// atOnce is how many tunnels of a chaos are open at a time.
const atOnce = 64

// chaosPairs are the kinds of connections, client's and upstream's.
var chaosPairs = []struct {
	name             string
	client, upstream pair
	oneWay           bool // the client's cannot end one direction alone
}{
	{"TCP", tcpPair, tcpPair, false},
	{"TCP, dialled upstream", tcpPair, dialledPair, false},
	{"Unix client", unixPair, tcpPair, false},
	{"Unix both", unixPair, unixPair, false},
	{"TLS client", tlsPair, tcpPair, false},
	{"TLS client, dialled upstream", tlsPair, dialledPair, false},
	{"TLS upstream", tcpPair, tlsPair, false},
	{"TLS both", tlsPair, tlsPair, false},
	{"PROXY client", announcedPair, dialledPair, false},
	{"TLS over PROXY client", secretPair, tcpPair, false},
	{"client without a socket", pipePair, tcpPair, true},
	{"client whose socket is hidden", streamingPair, tcpPair, true},
	{"client that buffers", bufferingPair, dialledPair, true},
}

// ours is what the tunnel's owner does.
type ours uint8

const (
	nothing ours = iota
	one          // a close, whose deadline is late or soon
	patient      // a close that can wait for the answers
	two          // with other words, and another deadline, at once
	early        // a close before the start
)

// chaosEndings are the ways to end. What several do, they do at once if they can.
var chaosEndings = []struct {
	name             string
	client, upstream deed
	manners          manners // of one of them, the other answers
	ours             ours
}{
	{name: "client closes", client: closes},
	{name: "upstream closes", upstream: closes},
	{name: "both close", client: closes, upstream: closes},
	{name: "client's FIN", client: ends},
	{name: "upstream's FIN", upstream: ends},
	{name: "both FINs", client: ends, upstream: ends},
	{name: "client's FIN inside a frame", client: endsIn},
	{name: "upstream's FIN inside a frame", upstream: endsIn},
	{name: "client's reset", client: resets},
	{name: "upstream's reset", upstream: resets},
	{name: "client's FIN and upstream's reset", client: ends, upstream: resets},
	{name: "client closes, upstream's reset", client: closes, upstream: resets},
	{name: "our close", ours: patient},
	{name: "our close, soon", ours: one},
	{name: "our close, not answered", ours: one, manners: silent},
	{name: "our close, ignored", ours: one, manners: ignores},
	{name: "our close, not read", ours: one, manners: deaf},
	{name: "our close, client inside a frame", ours: one, client: stopsIn},
	{name: "our close, upstream inside a frame", ours: one, upstream: stopsIn},
	{name: "two closes of ours", ours: two},
	{name: "our close before the start", ours: early},
	{name: "everybody closes", client: closes, upstream: closes, ours: patient},
	{name: "our close and client's FIN", client: ends, ours: one},
	{name: "our close and upstream's reset", upstream: resets, ours: one},
}

func TestChaosCutsNoFrameAndLeavesNothingBehind(t *testing.T) { chaos(t, true) }

func TestChaosWithoutASetCutsNoFrameAndLeavesNothingBehind(t *testing.T) { chaos(t, false) }

// chaos is not for tests that run in parallel: it counts what the process has.
func chaos(t *testing.T, set bool) {
	t.Helper()
	sock.Off.Store(!set)
	defer sock.Off.Store(false)
	rounds, tunnels := 1, len(chaosPairs)*len(chaosEndings)
	if size := os.Getenv("WSGATE_CHAOS"); size != "" {
		if _, err := fmt.Sscanf(size, "%dx%d", &rounds, &tunnels); err != nil {
			t.Fatalf("WSGATE_CHAOS=%s: %v, want rounds and tunnels, as in 16x312", size, err)
		}
	}
	seed := number(t, "WSGATE_CHAOS_SEED", time.Now().UnixNano()%1e9)
	only := number(t, "WSGATE_CHAOS_TUNNEL", -1)
	var sum tally
	newTrial(t, new(tally), seed, 0).run() // what comes with the first tunnel stays
	for round := range rounds {
		sum.round(t, func() {
			places := make(chan struct{}, atOnce)
			var all sync.WaitGroup
			for i := range tunnels {
				n := round*tunnels + i
				if only >= 0 && int64(n) != only {
					continue
				}
				places <- struct{}{}
				c := newTrial(t, &sum, seed, n)
				all.Go(func() {
					c.run()
					<-places
				})
			}
			all.Wait()
		})
		if t.Failed() {
			break
		}
	}
	t.Logf("seed %d: %s", seed, &sum)
}

// number is a variable of the environment.
func number(t *testing.T, name string, otherwise int64) int64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// tally is what a chaos has met.
type tally struct {
	tunnels, bytes, forwardedAll, ownClose, lostTold, cutInside, excused, atDeadline atomic.Int64
}

func (s *tally) String() string {
	return fmt.Sprintf("%d tunnels, %d MiB; of their directions %d passed whole, %d ended with our close and %d with 1014, %d inside their sender's unfinished frame, %d otherwise (reset, not read); %d tunnels were cut at a deadline",
		s.tunnels.Load(), s.bytes.Load()>>20, s.forwardedAll.Load(), s.ownClose.Load(), s.lostTold.Load(), s.cutInside.Load(), s.excused.Load(), s.atDeadline.Load())
}

// holdings say what the process holds of something that tunnels take, and give
// back. A system may know more of them.
var holdings = map[string]func() string{}

// round runs a round, and waits until nothing of it is left.
func (s *tally) round(t *testing.T, f func()) {
	t.Helper()
	before := map[string]string{}
	for what, held := range holdings {
		before[what] = held()
	}
	routines := goroutines()
	f()
	for what, held := range holdings {
		if now := settledAt(held, before[what]); now != before[what] {
			t.Errorf("%s: %s, before %s", what, now, before[what])
		}
	}
	left := func() string {
		var left []string
		for id, stack := range goroutines() {
			if _, was := routines[id]; !was {
				left = append(left, stack)
			}
		}
		return strings.Join(left, "\n\n")
	}
	if stacks := settledAt(left, ""); stacks != "" {
		t.Errorf("goroutines left over:\n%s", stacks)
	}
}

// settledAt waits a while for something to be as it was, and returns what it is.
func settledAt(now func() string, before string) (is string) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(5 * time.Second); ; <-tick.C {
		if is = now(); is == before || time.Now().After(end) {
			return is
		}
	}
}

// goroutines are those of this package, by their names, without the sets' own
// and whoever asks.
func goroutines() map[string]string {
	buf := make([]byte, 4<<20)
	buf = buf[:runtime.Stack(buf, true)]
	all := map[string]string{}
	for i, g := range strings.Split(string(buf), "\n\n") {
		id, _, _ := strings.Cut(g, " [")
		if i > 0 && strings.Contains(g, "wsgate/tunnel.") && !strings.Contains(g, ").serve(") {
			all[id] = g
		}
	}
	return all
}

// trial is one tunnel of a chaos.
type trial struct {
	t                testing.TB
	sum              *tally
	name             string
	oneWay           bool
	client, upstream *talker
	peers            [2]Peer
	ours             ours
	when             time.Duration // our close comes after the start
	closings         []Closing     // without their deadlines
	waits            []time.Duration
	together         *meeting

	tunnel *Tunnel
	over   chan struct{} // closed when Ended is called first
	ends   atomic.Int32  // how often it was

	mu       sync.Mutex // guards the fields below
	ended    time.Time
	deadline time.Time // the earliest; zero: there is none
}

// newTrial makes everything that a tunnel needs. What is random in it follows from
// the seed and its number.
func newTrial(t testing.TB, sum *tally, seed int64, n int) *trial {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(seed), uint64(n)))
	kind, ending := chaosPairs[n%len(chaosPairs)], chaosEndings[n/len(chaosPairs)%len(chaosEndings)]
	tight := r.IntN(4) == 0
	c := &trial{
		t: t, sum: sum, oneWay: kind.oneWay, ours: ending.ours, over: make(chan struct{}),
		name:   fmt.Sprintf("%s, %s (WSGATE_CHAOS_SEED=%d WSGATE_CHAOS_TUNNEL=%d)", kind.name, ending.name, seed, n),
		client: newTalker("client", true, tight, r), upstream: newTalker("upstream", false, tight, r),
		when: time.Duration(r.IntN(int(80 * time.Millisecond))),
	}
	c.client.does, c.upstream.does = ending.client, ending.upstream
	if r.IntN(2) == 0 {
		c.client.manners = ending.manners
	} else {
		c.upstream.manners = ending.manners
	}
	if ending.upstream == resets {
		c.client.otherIsGone = c.upstream.gone
	}
	meets := 0
	for _, does := range []bool{ending.client != goesOn, ending.upstream != goesOn, ending.ours != nothing} {
		if does {
			meets++
		}
	}
	if meets > 1 && r.IntN(3) > 0 && ending.client != stopsIn && ending.upstream != stopsIn {
		c.together = newMeeting(meets)
		if ending.client != goesOn {
			c.client.together = c.together
		}
		if ending.upstream != goesOn {
			c.upstream.together = c.together
		}
	}
	for i, p := range []*talker{c.client, c.upstream} {
		var near net.Conn
		near, p.conn = [...]pair{kind.client, kind.upstream}[i](t)
		_ = p.conn.SetDeadline(time.Now().Add(limit))
		p.over = c.over
		if p.narrow {
			narrow(near, p.conn)
		}
		c.peers[i] = Peer{Conn: near}
		if r.IntN(3) == 0 {
			c.peers[i].Early = p.early()
		}
	}
	c.plan(r)
	return c
}

// narrow leaves little room between the ends of a connection.
func narrow(near, far net.Conn) {
	type bounded interface {
		SetReadBuffer(int) error
		SetWriteBuffer(int) error
	}
	for _, end := range []net.Conn{near, far} {
		if socket, ok := beneath(end).(bounded); ok {
			_ = socket.SetReadBuffer(16 << 10)
			_ = socket.SetWriteBuffer(16 << 10)
		}
	}
}

// plan decides how we close.
func (c *trial) plan(r *rand.Rand) {
	soon := func() time.Duration {
		d := 50*time.Millisecond + time.Duration(r.IntN(int(350*time.Millisecond)))
		if r.IntN(4) == 0 {
			d = time.Second + time.Duration(r.IntN(int(time.Second)))
		}
		return d
	}
	switch c.ours {
	case one, early:
		c.waits = []time.Duration{soon()}
	case patient:
		c.waits = []time.Duration{limit}
	case two:
		c.waits = []time.Duration{soon(), soon()}
	}
	words := []Closing{
		{By: ByGate, Code: 1013, Reason: "closed for the night"},
		{By: ByShutdown, Code: 1001, Reason: strings.Repeat("long words ", 20)},
	}
	if r.IntN(2) == 0 {
		slices.Reverse(words)
	}
	c.closings = words[:len(c.waits)]
}

// HalfOpen leaves the limit as it is.
func (c *trial) HalfOpen() time.Duration { return 0 }

// Ended is called by the tunnel.
func (c *trial) Ended(Result) {
	if c.ends.Add(1) == 1 {
		c.mu.Lock()
		c.ended = time.Now()
		c.mu.Unlock()
		close(c.over)
	}
}

// close closes the tunnel with our words number i.
func (c *trial) close(i int) {
	if c.ours != early {
		pause := time.NewTimer(c.when)
		select {
		case <-pause.C:
		case <-c.over:
		}
		c.together.meet()
	}
	said := c.closings[i]
	began := time.Now()
	said.Deadline = began.Add(c.waits[i])
	c.mu.Lock()
	if c.deadline.IsZero() || said.Deadline.Before(c.deadline) {
		c.deadline = said.Deadline
	}
	c.mu.Unlock()
	c.tunnel.Close(said)
	if took := time.Since(began); took > 2*time.Second {
		c.errorf("Close took %s", took)
	}
}

func (c *trial) errorf(format string, args ...any) {
	c.t.Helper()
	c.t.Errorf("%s: %s", c.name, fmt.Sprintf(format, args...))
}

// run has everybody talk, and looks at what became of it.
func (c *trial) run() {
	c.tunnel = New(Options{Owner: c})
	var all sync.WaitGroup
	if c.ours == early {
		c.close(0)
	}
	all.Go(func() { c.tunnel.Start(c.peers[0], c.peers[1]) })
	for i := range c.closings {
		if c.ours != early {
			all.Go(func() { c.close(i) })
		}
	}
	for _, p := range []*talker{c.client, c.upstream} {
		all.Go(p.talk)
		all.Go(p.listen)
	}
	select {
	case <-c.over:
	case <-time.After(limit):
		c.errorf("it does not end: %+v", c.tunnel.Stats())
		c.tunnel.Close(Closing{By: ByError, Code: 1001, Deadline: past})
	}
	all.Wait()
	res := c.tunnel.Wait()
	c.sum.tunnels.Add(1)
	c.checkEnd(res)
	c.checkWay(way{from: c.client, to: c.upstream, bytes: res.BytesUp, messages: res.MessagesUp})
	c.checkWay(way{from: c.upstream, to: c.client, bytes: res.BytesDown, messages: res.MessagesDown})
	c.checkWords(res)
	c.client.sent, c.client.got, c.upstream.sent, c.upstream.got = nil, nil, nil, nil
}

// atDeadline reports whether the tunnel was cut at its deadline.
func (c *trial) atDeadline() bool {
	return !c.deadline.IsZero() && !c.ended.Before(c.deadline)
}

// alone reports whether our close is all that could end the tunnel.
func (c *trial) alone() bool {
	quiet := func(p *talker) bool { return p.does == goesOn || p.does == stopsIn }
	return c.ours != nothing && quiet(c.client) && quiet(c.upstream)
}

// checkEnd looks at when the tunnel ended.
func (c *trial) checkEnd(res Result) {
	if n := c.ends.Load(); n != 1 {
		c.errorf("its owner was told of %d ends", n)
	}
	if armed(c.tunnel) {
		c.errorf("it has ended, and a timer keeps it")
	}
	if c.atDeadline() {
		c.sum.atDeadline.Add(1)
		if late := c.ended.Sub(c.deadline); late > 3*time.Second {
			c.errorf("it ended %s after its deadline", late)
		}
		if c.ours == patient {
			c.errorf("it was cut at a deadline of %s: %+v", c.waits[0], res)
		}
	}
	answered := c.client.manners == answers && c.upstream.manners == answers && c.client.does != stopsIn && c.upstream.does != stopsIn
	if c.alone() && !answered && !c.atDeadline() {
		c.errorf("it ended %s before its deadline, and a peer had not answered", c.deadline.Sub(c.ended))
	}
	if res.Duration <= 0 || res.Duration > limit {
		c.errorf("duration %s", res.Duration)
	}
}

// armed reports whether a tunnel is still waited for.
func armed(t *Tunnel) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ending.timer != nil && t.ending.timer.Stop()
}

// way is one direction of a tunnel, and what was counted of it.
type way struct {
	from, to        *talker
	bytes, messages int64
}

// pardon says why a frame of the sender may be cut, and the count be more than
// what came; empty: it may not.
func (c *trial) pardon(w way) string {
	prompt := c.deadline.Sub(w.from.last) > 700*time.Millisecond && !w.from.narrow
	switch {
	case is(w.to.gone) || is(w.from.gone):
		return "a peer has broken off"
	case w.to.gaveUp || w.from.gaveUp:
		return "the client has given up"
	case w.to.manners == deaf:
		return "the receiver does not read"
	case c.oneWay && c.upstream.fin && !c.upstream.closed:
		return "the client cannot be told of the upstream's FIN in another way"
	case c.atDeadline() && !prompt:
		return "the deadline has come while it was sent"
	}
	return ""
}

// checkWay compares what one peer sent and the other got.
func (c *trial) checkWay(w way) {
	sent, got := w.from.sent[:w.from.tried], w.to.got
	c.sum.bytes.Add(int64(len(got)))
	common := same(sent, got)
	frames, forwarded := framesOf(got), common
	if common < len(got) {
		forwarded = 0
		for _, f := range frames {
			if f.end <= common {
				forwarded = f.end
			}
		}
	}
	added := got[forwarded:]
	what := fmt.Sprintf("%s to %s, %d of %d bytes sent and %d got", w.from.name, w.to.name, w.from.taken, len(w.from.sent), len(got))
	pardon := c.pardon(w)
	c.checkAdded(w, what, added, pardon)
	complain := func(format string, args ...any) {
		c.errorf("%s: %s; reading ended with %v, result %+v", what, fmt.Sprintf(format, args...), w.to.err, c.tunnel.Wait())
	}

	var messages int64
	end, begins, whole, closing := 0, 0, true, 0
	for _, f := range frames {
		if f.whole && f.head[0]&opcodeBits == opClose {
			closing++
		}
		if f.end > forwarded {
			break
		}
		begins, end, whole = end, f.end, f.whole
		if f.whole && f.event() == messageEnd {
			messages++
		}
	}
	if closing > 1 {
		complain("%d close frames", closing)
	}
	if len(w.from.sent) > 0 && forwarded > 0 && !whole && pardon == "" {
		if all := begins + claimed(w.from.sent[begins:]); w.from.taken >= all {
			complain("a frame of %d bytes is cut after %d", all-begins, end-begins)
		}
	}
	if forwarded < w.from.taken && pardon == "" && len(added) == 0 && (whole || w.from.does != stopsIn) && (c.ours == nothing || closing == 0) {
		complain("the end is missing, and nobody has closed")
	}
	clean := isEOF(w.to.err) && !is(w.to.gone)
	switch {
	case clean && pardon == "" && (w.bytes != int64(forwarded) || w.messages != messages):
		complain("%d bytes and %d messages were counted, %d and %d have passed", w.bytes, w.messages, forwarded, messages)
	case w.bytes < int64(forwarded) || w.bytes > int64(len(w.from.sent)) || w.messages < messages:
		complain("%d bytes and %d messages were counted, at least %d and %d have passed", w.bytes, w.messages, forwarded, messages)
	}
	if pardon == "" && !clean && !c.atDeadline() && !c.oneWay {
		complain("it did not end with a FIN")
	}
	c.mustClose(w, complain, closing, pardon, whole)
	switch {
	case len(added) > 0:
	case forwarded == len(w.from.sent) && whole:
		c.sum.forwardedAll.Add(1)
	case pardon != "":
		c.sum.excused.Add(1)
	case !whole:
		c.sum.cutInside.Add(1)
	}
}

// same is how many bytes two streams have in common from the beginning.
func same(a, b []byte) (n int) {
	const block = 4 << 10
	for n+block <= min(len(a), len(b)) && bytes.Equal(a[n:n+block], b[n:n+block]) {
		n += block
	}
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// claimed is the size of the frame that a stream begins with.
func claimed(stream []byte) int {
	f := framesOf(stream)[0]
	return len(f.head) + int(f.claims)
}

// checkAdded looks at what a peer got that the other did not send: a close frame
// of ours, whole, and nothing behind it.
func (c *trial) checkAdded(w way, what string, added []byte, pardon string) {
	if len(added) == 0 {
		return
	}
	f := framesOf(added)[0]
	if !f.whole {
		if pardon == "" || f.head[0] != finBit|opClose {
			c.errorf("%s: there is something else behind: %.60q", what, added)
		}
		return
	}
	words := c.words(f)
	lost := words == (Closing{Code: 1014, Reason: "backend connection lost"}) && w.to == c.client && is(c.upstream.gone)
	if f.end != len(added) || f.head[0] != finBit|opClose || (f.key != nil) != (w.to == c.upstream) || !lost && c.ourWords(words) == nil {
		c.errorf("%s: behind it stands %.160q (%d %q)", what, added, words.Code, words.Reason)
	}
	if lost {
		c.sum.lostTold.Add(1)
	} else {
		c.sum.ownClose.Add(1)
	}
}

// words are the code and the reason of a close frame.
func (c *trial) words(f frame) (said Closing) {
	text := bytes.Clone(f.payload)
	for i := range text {
		if f.key != nil {
			text[i] ^= f.key[i%4]
		}
	}
	if len(text) > 1 {
		said.Code, said.Reason = binary.BigEndian.Uint16(text), string(text[2:])
	}
	return said
}

// ourWords returns the close of ours with such words.
func (c *trial) ourWords(words Closing) *Closing {
	for i, o := range c.closings {
		if o.Code == words.Code && o.Reason[:min(len(o.Reason), 123)] == words.Reason {
			return &c.closings[i]
		}
	}
	return nil
}

// mustClose finds a close frame that did not come.
func (c *trial) mustClose(w way, complain func(string, ...any), closing int, pardon string, whole bool) {
	if closing > 0 {
		return
	}
	reset := c.upstream.does == resets && c.upstream.isTCP() && is(c.upstream.gone)
	if reset && c.ours == nothing && w.to == c.client && !is(c.client.gone) && whole && !c.client.gaveUp {
		complain("nobody told the client that its upstream is lost")
	}
	if c.alone() && pardon == "" && whole && w.from.does != stopsIn {
		complain("we closed, and it got no close frame")
	}
}

// checkWords looks at who ended the tunnel, and with which words.
func (c *trial) checkWords(res Result) {
	type who struct {
		by   By
		code uint16 // zero: any, or none
	}
	var could []who
	for _, o := range c.closings {
		could = append(could, who{o.By, o.Code})
	}
	for by, p := range map[By]*talker{ByClient: c.client, ByUpstream: c.upstream} {
		switch {
		case p.does == closes && p.closed:
			could = append(could, who{by, p.code})
		case p.does == ends, p.does == endsIn, is(p.gone):
			could = append(could, who{by, 0})
		}
		if is(p.gone) {
			could = append(could, who{ByError, 0})
		}
	}
	known := false
	for _, w := range could {
		known = known || w.by == res.By && (w.code == 0 || w.code == res.Code)
	}
	if !known {
		c.errorf("by %q with code %d and %v, want one of %v", res.By, res.Code, res.Err, could)
	}
	broke := is(c.client.gone) || is(c.upstream.gone) || c.client.gaveUp
	if res.Err != nil && !broke && !c.atDeadline() {
		c.errorf("nothing broke: %+v", res)
	}
	if c.upstream.does == resets && c.upstream.isTCP() && c.client.does == goesOn && c.ours == nothing && is(c.upstream.gone) && res.Err == nil {
		c.errorf("the upstream broke off: %+v", res)
	}
}
