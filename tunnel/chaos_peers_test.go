package tunnel

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// deed is how a talker ends what it has to say.
type deed uint8

const (
	goesOn  deed = iota // to the end of its script, and ends when the other does
	closes              // a close frame, between two frames
	ends                // a FIN, between two frames
	endsIn              // a FIN, wherever it is
	resets              // an RST, wherever it is
	stopsIn             // says nothing more, wherever it is
)

// manners are what a talker does about a close frame.
type manners uint8

const (
	answers manners = iota // when it has finished the frame that it is in
	silent                 // it says nothing more
	ignores                // it goes on with its script
	deaf                   // it has stopped to read before
)

// patienceInside is how long a client whose upstream is gone waits for the rest
// of a frame.
const patienceInside = 600 * time.Millisecond

// talker is a peer in a chaos: it writes frames in pieces and reads what comes,
// each in a goroutine of its own.
type talker struct {
	// Set once, before it talks.
	name        string
	conn        net.Conn
	masked      bool
	does        deed
	at          int  // how much it has said when it does that
	between     bool // it does so between two frames, even where it need not
	narrow      bool // there is little room on the way to the tunnel, and so time is needed
	manners     manners
	deafAt      int // how much it reads before it is deaf
	code        uint16
	reason      string
	script      []int // payload sizes
	say, hear   *rand.Rand
	together    *meeting        // where others do something at the same moment; nil: they don't
	over        <-chan struct{} // closed when the tunnel has ended, or is given up
	otherIsGone <-chan struct{}

	heard chan struct{} // closed when a close frame has come
	done  chan struct{} // closed when nothing more is read
	gone  chan struct{} // closed when it has reset or left

	// Owned by the writer until both are done.
	sent         []byte // what it means to say
	taken, tried int    // of it
	open         bool   // inside a message
	last         time.Time
	closed, fin  bool // its close frame, or FIN, has gone
	restSay      time.Duration

	// Owned by the reader until both are done.
	got      []byte
	next     int // where the frame that is coming begins
	bye      frame
	err      error // what reading ended with
	gaveUp   bool
	restHear time.Duration
}

// mostRest bounds how long a talker stalls, all in all.
const mostRest = 250 * time.Millisecond

func newTalker(name string, masked, narrow bool, from *rand.Rand) *talker {
	p := &talker{
		name: name, masked: masked,
		say: rand.New(rand.NewPCG(from.Uint64(), 1)), hear: rand.New(rand.NewPCG(from.Uint64(), 2)),
		heard: make(chan struct{}), done: make(chan struct{}), gone: make(chan struct{}),
		code: uint16(4000 + from.IntN(900)), reason: name + " has said all",
		restSay: mostRest, restHear: mostRest,
	}
	if p.say.IntN(8) == 0 { // one that has nothing else to do
		p.restSay, p.restHear = 0, 0
	}
	p.narrow = narrow
	most := 600_000
	if narrow { // for each window the system waits a little
		most = 60_000
	}
	for all := 0; len(p.script) < 40; {
		size := someSize(p.say)
		if all+size > most {
			break
		}
		p.script = append(p.script, size)
		all += size
		if p.say.IntN(20) == 0 {
			break
		}
	}
	all := 1
	for _, size := range p.script {
		all += size + maxHeader
	}
	p.at, p.between = p.say.IntN(all), p.say.IntN(2) == 0
	p.deafAt = p.hear.IntN(100_000)
	return p
}

// someSize is a payload size: mostly small, often at an edge of the engine.
func someSize(r *rand.Rand) int {
	switch n := r.IntN(20); {
	case n < 9:
		return r.IntN(126)
	case n < 13:
		return 126 + r.IntN(4<<10)
	case n < 18:
		edges := [...]int{16 << 10, 32 << 10, 64 << 10, 128 << 10}
		return edges[r.IntN(len(edges))] + r.IntN(2*maxHeader) - maxHeader
	}
	return r.IntN(300 << 10)
}

// add adds a frame to what is to be said.
func (p *talker) add(size int) {
	first := byte(finBit | 0x9) // ping
	if size > maxControl || p.say.IntN(4) > 0 {
		first = opText + byte(p.say.IntN(2))
		if p.open {
			first = 0 // a piece of the same message
		}
		if p.open = p.say.IntN(3) == 0; !p.open {
			first |= finBit
		}
	}
	payload := make([]byte, size)
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], p.say.Uint64())
	_, _ = rand.NewChaCha8(seed).Read(payload)
	p.sent = appendFrame(p.sent, first, payload, p.key())
}

// key is a masking key of its own for each frame; nil: it masks nothing.
func (p *talker) key() []byte {
	if !p.masked {
		return nil
	}
	return binary.BigEndian.AppendUint32(nil, p.say.Uint32())
}

// appendFrame appends a frame whose payload is as it goes on the wire.
func appendFrame(to []byte, first byte, payload, key []byte) []byte {
	bit := byte(0)
	if key != nil {
		bit = 0x80
	}
	switch n := len(payload); {
	case n < 126:
		to = append(to, first, bit|byte(n))
	case n < 1<<16:
		to = binary.BigEndian.AppendUint16(append(to, first, bit|126), uint16(n))
	default:
		to = binary.BigEndian.AppendUint64(append(to, first, bit|127), uint64(n))
	}
	return append(append(to, key...), payload...)
}

// early takes what is to come with the handshake off the script.
func (p *talker) early() []byte {
	for range p.say.IntN(3) {
		if len(p.script) > 1 {
			p.add(p.script[0])
			p.script = p.script[1:]
		}
	}
	p.taken = p.say.IntN(min(len(p.sent), 20<<10) + 1)
	p.tried = p.taken
	return slices.Clone(p.sent[:p.taken])
}

// talk says all there is to say, and ends.
func (p *talker) talk() {
	defer p.leave()
	p.last = time.Now()
	for _, size := range p.script {
		if p.due() || is(p.heard) && p.manners != ignores {
			break
		}
		p.add(size)
		if p.say.IntN(4) > 0 && !p.send() { // else it goes out with the next
			return
		}
	}
	if !p.send() {
		return
	}
	switch p.does {
	case closes:
		p.together.meet()
		p.sayClose()
		p.wait()
		p.finish()
	case ends, endsIn:
		p.together.meet()
		p.finish()
	case resets:
		p.reset()
	case stopsIn:
		<-p.over
	case goesOn:
		p.wait()
		if p.manners != answers {
			<-p.over
		} else if is(p.heard) {
			p.sayClose()
		}
		p.finish()
	}
}

// wait waits for a close frame, or until there is nothing more to be heard.
func (p *talker) wait() {
	select {
	case <-p.heard:
	case <-p.done:
	}
}

// due reports whether it is to do its deed.
func (p *talker) due() bool { return p.does != goesOn && len(p.sent) >= p.at }

// send writes what is to be said in pieces. False: the connection takes no more,
// or is not to.
func (p *talker) send() bool {
	for p.taken < len(p.sent) {
		n := min(p.piece(), len(p.sent)-p.taken)
		if p.does >= endsIn && (p.does != resets || !p.between) { // in the middle of whatever it is in
			n = min(n, max(0, p.at-p.taken))
		}
		if n == 0 {
			switch p.does {
			case resets:
				p.reset()
			case endsIn:
				p.finish()
			case stopsIn:
				<-p.over
			}
			return false
		}
		p.tried = p.taken + n
		m, err := p.conn.Write(p.sent[p.taken:p.tried])
		p.taken += m
		p.last = time.Now()
		if err != nil {
			return false
		}
		rest(p.say, &p.restSay)
	}
	return true
}

// piece is how much is written at once: all, a lot, or part of a header.
func (p *talker) piece() int {
	switch p.say.IntN(4) {
	case 0:
		return 1 + p.say.IntN(maxHeader)
	case 1:
		return 1 + p.say.IntN(8<<10)
	case 2:
		return 1 + p.say.IntN(100<<10)
	}
	return len(p.sent)
}

// rest stalls now and then, until it has done so for long enough.
func rest(r *rand.Rand, left *time.Duration) {
	d := time.Duration(0)
	switch n := r.IntN(200); {
	case n < 12:
		d = time.Millisecond + time.Duration(r.IntN(int(30*time.Millisecond)))
	case n == 12:
		d = 120 * time.Millisecond
	}
	if d = min(d, *left); d > 0 {
		*left -= d
		time.Sleep(d) // the shape of the traffic: nobody waits for it
	}
}

// sayClose sends its close frame, with words of its own.
func (p *talker) sayClose() {
	payload := append(binary.BigEndian.AppendUint16(nil, p.code), p.reason...)
	key := p.key()
	for i := range key {
		for j := i; j < len(payload); j += len(key) {
			payload[j] ^= key[i]
		}
	}
	p.sent = appendFrame(p.sent, finBit|opClose, payload, key)
	p.tried = len(p.sent)
	m, err := p.conn.Write(p.sent[p.taken:])
	p.taken += m
	p.last = time.Now()
	p.closed = err == nil
}

// finish ends what it says. A connection that cannot end one direction alone is
// closed: it has left, if there was something to be heard yet.
func (p *talker) finish() {
	p.fin = true
	if _, can := p.conn.(interface{ CloseWrite() error }); can {
		closeWrite(p.conn)
		return
	}
	if !is(p.done) && (!p.closed || !is(p.heard)) {
		close(p.gone)
	}
	_ = p.conn.Close()
}

// reset breaks the connection off, where it is TCP; another is closed.
func (p *talker) reset() {
	p.together.meet()
	close(p.gone)
	if p.isTCP() {
		reset(p.conn)
		return
	}
	_ = p.conn.Close()
}

func (p *talker) isTCP() bool {
	_, is := beneath(p.conn).(*net.TCPConn)
	return is
}

// leave closes the connection when there is nothing more to read.
func (p *talker) leave() {
	p.together.meet() // nobody is to wait for it
	<-p.done
	if socket := beneath(p.conn); socket != nil {
		_ = socket.Close() // TLS would wait for who does not read
	}
	_ = p.conn.Close()
}

// listen reads to the end.
func (p *talker) listen() {
	defer close(p.done)
	end := time.Now().Add(limit)
	buf := make([]byte, 512+p.hear.IntN(64<<10))
	for {
		if p.manners == deaf && len(p.got) >= p.deafAt {
			<-p.over
			return
		}
		if p.otherIsGone != nil {
			_ = p.conn.SetReadDeadline(time.Now().Add(patienceInside))
		}
		n, err := p.conn.Read(buf)
		p.got = append(p.got, buf[:n]...)
		p.look()
		if errors.Is(err, os.ErrDeadlineExceeded) && p.otherIsGone != nil && time.Now().Before(end) {
			if is(p.otherIsGone) && p.next < len(p.got) {
				p.gaveUp = true // a frame has begun that nobody is left to finish
				return
			}
			continue
		}
		if err != nil {
			p.err = err
			return
		}
		rest(p.hear, &p.restHear)
	}
}

// look looks for whole frames in what has come.
func (p *talker) look() {
	begins := p.next
	for _, f := range framesOf(p.got[begins:]) {
		if !f.whole {
			return
		}
		p.next = begins + f.end
		if f.head[0]&opcodeBits == opClose && !is(p.heard) {
			p.bye = f
			close(p.heard)
		}
	}
}

// is reports whether something has happened.
func is(happened <-chan struct{}) bool {
	select {
	case <-happened:
		return true
	default:
		return false
	}
}

// meeting is where several do something at the same moment. Nil: nobody meets.
type meeting struct {
	sync.Mutex
	missing int
	all     chan struct{}
}

func newMeeting(n int) *meeting { return &meeting{missing: n, all: make(chan struct{})} }

// meet returns when as many have come as are to, or some time has passed.
func (m *meeting) meet() {
	if m == nil {
		return
	}
	m.Lock()
	if m.missing--; m.missing == 0 {
		close(m.all)
	}
	m.Unlock()
	select {
	case <-m.all:
	case <-time.After(mostRest):
	}
}

// Connections of a chaos that others have no use for.

// buffering takes what is written at once, and has a goroutine of its own write
// it. It cannot end one direction alone.
type buffering struct {
	net.Conn
	flushed chan struct{}

	mu     sync.Mutex // guards the fields below
	news   *sync.Cond
	queue  []byte
	closed bool
	err    error
}

func newBuffering(c net.Conn) *buffering {
	b := &buffering{Conn: c, flushed: make(chan struct{})}
	b.news = sync.NewCond(&b.mu)
	go b.flush()
	return b
}

func (b *buffering) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.queue) > 64<<10 && b.err == nil && !b.closed {
		b.news.Wait()
	}
	if b.err != nil {
		return 0, b.err
	}
	if b.closed {
		return 0, net.ErrClosed
	}
	b.queue = append(b.queue, p...)
	b.news.Broadcast()
	return len(p), nil
}

func (b *buffering) flush() {
	defer close(b.flushed)
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.err == nil {
		for len(b.queue) == 0 && !b.closed {
			b.news.Wait()
		}
		if len(b.queue) == 0 {
			return
		}
		p := b.queue
		b.queue = nil
		b.mu.Unlock()
		_, err := b.Conn.Write(p)
		b.mu.Lock()
		b.err = err
		b.news.Broadcast()
	}
}

func (b *buffering) Close() error {
	b.mu.Lock()
	b.closed = true
	b.news.Broadcast()
	b.mu.Unlock()
	<-b.flushed
	return b.Conn.Close()
}

func bufferingPair(t testing.TB) (near, far net.Conn) {
	t.Helper()
	n, f := tcpPair(t)
	return newBuffering(n), f
}

// pipePair has no socket at all.
func pipePair(t testing.TB) (near, far net.Conn) {
	t.Helper()
	near, far = net.Pipe()
	t.Cleanup(func() { _ = far.Close() })
	_ = far.SetDeadline(time.Now().Add(3 * limit))
	return near, far
}

func unixPair(t testing.TB) (near, far net.Conn) {
	t.Helper()
	dir, err := os.MkdirTemp("", "wsgate") // t.TempDir may be too long a name for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ln, err := net.Listen("unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if far, err = net.Dial("unix", dir+"/s"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	_ = far.SetDeadline(time.Now().Add(3 * limit))
	if near, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

// secretPair is TLS above what a PROXY protocol listener makes.
func secretPair(t testing.TB) (near, far net.Conn) {
	t.Helper()
	n, f := announcedPair(t)
	server := tls.Server(n, &tls.Config{Certificates: []tls.Certificate{certificate()}})
	client := tls.Client(f, &tls.Config{InsecureSkipVerify: true, ServerName: "test"})
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := errors.Join(client.Handshake(), <-done); err != nil {
		t.Fatal(err)
	}
	return server, client
}

// isEOF reports whether somebody has heard all there was.
func isEOF(err error) bool { return errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) }
