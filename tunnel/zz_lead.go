// Package tunnel: temporary portable engine by the lead, until the engine room delivers.
package tunnel

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

type By string

const (
	ByClient   By = "client"
	ByUpstream By = "upstream"
	ByGate     By = "gate"
	ByOperator By = "operator"
	ByLimit    By = "limit"
	ByShutdown By = "shutdown"
	ByError    By = "error"
)

type Peer struct {
	Conn  net.Conn
	Early []byte
}

type Totals struct{ BytesUp, BytesDown, MessagesUp, MessagesDown atomic.Int64 }

type Options struct {
	Totals *Totals
	OnEnd  func(*Tunnel, Result)
}

type Closing struct {
	By       By
	Code     uint16
	Reason   string
	Deadline time.Time
}

type Stats struct {
	BytesUp, BytesDown, MessagesUp, MessagesDown int64
	Opened                                       time.Time
}

type Result struct {
	Stats
	Duration time.Duration
	By       By
	Code     uint16
	Reason   string
	Err      error
}

func ValidCloseCode(c int) bool {
	return c >= 1000 && c <= 1003 || c >= 1007 && c <= 1014 || c >= 3000 && c <= 4999
}

func TrimReason(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	for len(s) > 123 {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}

type Tunnel struct {
	o       Options
	own     Totals
	opened  time.Time
	mu      sync.Mutex
	started bool
	closing *Closing
	up      *flow
	down    *flow
	conns   [2]net.Conn
	result  Result
	done    chan struct{}
	cut     *time.Timer
	idleSum int64
	idleAt  time.Time
}

type flow struct {
	t        *Tunnel
	src, dst net.Conn
	up       bool
	hand     sync.Mutex
	// guarded by hand
	hdr      [14]byte
	hn       int
	need     int
	left     uint64
	fin      bool
	op       byte
	ctl      []byte
	key      [4]byte
	masked   bool
	sawClose bool // forwarded or seen
	injected bool
	dead     bool
	queued   *Closing // guarded by t.mu
	ended    bool
	err      error
}

func New(o Options) *Tunnel { return &Tunnel{o: o, done: make(chan struct{})} }

func (t *Tunnel) Abandon() {}

func (t *Tunnel) Wait() Result { <-t.done; return t.result }

func (t *Tunnel) Start(client, upstream Peer) {
	t.mu.Lock()
	t.opened = time.Now()
	t.conns = [2]net.Conn{client.Conn, upstream.Conn}
	t.up = &flow{t: t, src: client.Conn, dst: upstream.Conn, up: true, need: 2}
	t.down = &flow{t: t, src: upstream.Conn, dst: client.Conn, need: 2}
	t.started = true
	c := t.closing
	t.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { t.up.run(client.Early) })
	wg.Go(func() { t.down.run(upstream.Early) })
	go func() { wg.Wait(); t.finish() }()
	if c != nil {
		t.carry(*c)
	}
}

func (t *Tunnel) finish() {
	t.mu.Lock()
	for _, c := range t.conns {
		_ = c.Close()
	}
	if t.cut != nil {
		t.cut.Stop()
	}
	t.result.Stats = t.Stats()
	t.result.Duration = time.Since(t.opened)
	if t.closing != nil {
		t.result.By, t.result.Code, t.result.Reason = t.closing.By, t.closing.Code, t.closing.Reason
	} else if t.result.By == "" {
		t.result.By = ByError
	}
	t.mu.Unlock()
	close(t.done)
	if t.o.OnEnd != nil {
		t.o.OnEnd(t, t.result)
	}
}

func (t *Tunnel) Close(c Closing) {
	t.mu.Lock()
	if t.closing != nil {
		if t.cut != nil && c.Deadline.Before(t.closing.Deadline) {
			t.closing.Deadline = c.Deadline
			t.cut.Reset(time.Until(c.Deadline))
		}
		t.mu.Unlock()
		return
	}
	t.closing = &c
	started := t.started
	t.mu.Unlock()
	if started {
		t.carry(c)
	}
}

func (t *Tunnel) carry(c Closing) {
	t.mu.Lock()
	t.cut = time.AfterFunc(time.Until(c.Deadline), func() {
		for _, c := range t.conns {
			_ = c.Close()
		}
	})
	t.up.queued, t.down.queued = &c, &c
	t.mu.Unlock()
	go t.up.tryInject()
	go t.down.tryInject()
}

func (f *flow) tryInject() {
	if !f.hand.TryLock() {
		return
	}
	f.flush()
	f.hand.Unlock()
}

// flush injects when at a boundary. hand is held.
func (f *flow) flush() {
	f.t.mu.Lock()
	c := f.queued
	f.t.mu.Unlock()
	if c == nil || f.injected || f.hn != 0 || f.left != 0 {
		return
	}
	f.injected = true
	if f.sawClose || f.dead {
		return
	}
	r := TrimReason(c.Reason)
	p := binary.BigEndian.AppendUint16(nil, c.Code)
	p = append(p, r...)
	out := []byte{0x88, byte(len(p))}
	if f.up {
		out[1] |= 0x80
		var k [4]byte
		_, _ = rand.Read(k[:])
		out = append(out, k[:]...)
		for i := range p {
			p[i] ^= k[i%4]
		}
	}
	_, _ = f.dst.Write(append(out, p...))
}

func (f *flow) run(early []byte) {
	defer f.end()
	if len(early) > 0 && !f.forward(early) {
		return
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := f.src.Read(buf)
		if n > 0 && !f.forward(buf[:n]) {
			return
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				f.err = err
			}
			return
		}
		f.t.mu.Lock()
		over := f.t.closing != nil
		f.t.mu.Unlock()
		if over && f.sawClose {
			return
		}
	}
}

// forward writes p frame by frame.
func (f *flow) forward(p []byte) bool {
	f.hand.Lock()
	defer f.hand.Unlock()
	f.flush()
	start := 0
	for i := 0; i < len(p); {
		i += f.advance(p[i:])
		if f.hn == 0 && f.left == 0 {
			f.t.mu.Lock()
			q := f.queued != nil
			f.t.mu.Unlock()
			if q && !f.injected {
				if !f.write(p[start:i]) {
					return false
				}
				start = i
				f.flush()
			}
		}
	}
	return f.write(p[start:])
}

func (f *flow) write(p []byte) bool {
	if len(p) == 0 || f.injected {
		return true
	}
	n, err := f.dst.Write(p)
	if f.up {
		f.t.own.BytesUp.Add(int64(n))
		f.t.o.Totals.BytesUp.Add(int64(n))
	} else {
		f.t.own.BytesDown.Add(int64(n))
		f.t.o.Totals.BytesDown.Add(int64(n))
	}
	if err != nil {
		f.dead = true
		f.err = err
		return false
	}
	return true
}

func (f *flow) advance(p []byte) int {
	if f.left > 0 {
		n := len(p)
		if uint64(n) > f.left {
			n = int(f.left)
		}
		if f.op == 8 && len(f.ctl) < 125 {
			f.ctl = append(f.ctl, p[:n]...)
		}
		f.left -= uint64(n)
		if f.left == 0 {
			f.frame()
		}
		return n
	}
	f.hdr[f.hn] = p[0]
	f.hn++
	if f.hn == 2 {
		f.need = 2
		switch f.hdr[1] & 0x7f {
		case 126:
			f.need += 2
		case 127:
			f.need += 8
		}
		f.masked = f.hdr[1]&0x80 != 0
		if f.masked {
			f.need += 4
		}
	}
	if f.hn >= 2 && f.hn == f.need {
		f.fin, f.op = f.hdr[0]&0x80 != 0, f.hdr[0]&0x0f
		switch l := f.hdr[1] & 0x7f; l {
		case 126:
			f.left = uint64(binary.BigEndian.Uint16(f.hdr[2:]))
		case 127:
			f.left = binary.BigEndian.Uint64(f.hdr[2:])
		default:
			f.left = uint64(l)
		}
		if f.masked {
			copy(f.key[:], f.hdr[f.need-4:f.need])
		}
		f.hn = 0
		f.ctl = f.ctl[:0]
		if f.left == 0 {
			f.frame()
		}
	}
	return 1
}

func (f *flow) frame() {
	if f.op < 3 && f.fin {
		if f.up {
			f.t.own.MessagesUp.Add(1)
			f.t.o.Totals.MessagesUp.Add(1)
		} else {
			f.t.own.MessagesDown.Add(1)
			f.t.o.Totals.MessagesDown.Add(1)
		}
	}
	if f.op == 8 {
		f.sawClose = true
		f.t.mu.Lock()
		defer f.t.mu.Unlock()
		if f.t.result.By == "" {
			f.t.result.By = ByUpstream
			if f.up {
				f.t.result.By = ByClient
			}
			f.t.result.Code = 1005
			if len(f.ctl) >= 2 {
				p := append([]byte(nil), f.ctl...)
				if f.masked {
					for i := range p {
						p[i] ^= f.key[i%4]
					}
				}
				f.t.result.Code, f.t.result.Reason = binary.BigEndian.Uint16(p), string(p[2:])
			}
		}
	}
}

func (f *flow) end() {
	f.t.mu.Lock()
	f.ended = true
	other := f.t.down
	if !f.up {
		other = f.t.up
	}
	if f.t.result.By == "" {
		f.t.result.By = ByUpstream
		if f.up {
			f.t.result.By = ByClient
		}
	}
	closing := f.t.closing != nil
	lost := f.err != nil && !closing
	f.t.mu.Unlock()
	if lost {
		if !f.up || f.dead {
			// upstream lost: 1014 to the client
			d := f.t.down
			f.t.mu.Lock()
			f.t.result.Code, f.t.result.By = 1014, ByError
			f.t.result.Err = f.err
			d.queued = &Closing{Code: 1014, Reason: "backend lost"}
			f.t.mu.Unlock()
			_ = d.dst.SetWriteDeadline(time.Now().Add(5 * time.Second))
			d.hand.Lock()
			d.flush()
			d.hand.Unlock()
		}
		for _, c := range f.t.conns {
			_ = c.Close()
		}
		return
	}
	if closing && other.isEnded() {
		return
	}
	if cw, ok := f.dst.(interface{ CloseWrite() error }); ok {
		_ = cw.CloseWrite()
	} else {
		_ = f.dst.Close()
	}
}

func (f *flow) isEnded() bool { f.t.mu.Lock(); defer f.t.mu.Unlock(); return f.ended }

func (t *Tunnel) Stats() Stats {
	return Stats{t.own.BytesUp.Load(), t.own.BytesDown.Load(), t.own.MessagesUp.Load(), t.own.MessagesDown.Load(), t.opened}
}

func (t *Tunnel) IdleFor(now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := t.own.BytesUp.Load() + t.own.BytesDown.Load()
	if t.idleAt.IsZero() || sum != t.idleSum {
		t.idleSum, t.idleAt = sum, now
		return 0
	}
	return now.Sub(t.idleAt)
}
