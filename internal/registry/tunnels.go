package registry

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/tunnel"
)

// TunnelID names a tunnel: unique in this process, and most likely beyond.
type TunnelID uint64

// String returns the id as people meet it in logs: base 36, no punctuation.
func (id TunnelID) String() string { return strconv.FormatUint(uint64(id), 36) }

// firstID is a random number, so that the ids of two runs differ.
func firstID() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand.Read)
	return binary.BigEndian.Uint64(b[:]) >> 8
}

// Tunnel is one accepted connection in its gate's table. It holds no request.
type Tunnel struct {
	*tunnel.Tunnel

	// Set once by Admit.
	id         TunnelID
	entry      *Entry
	handler    *used[limits]
	upstream   *used[none]
	clientIP   netip.Addr
	user, path string
	release    func()

	told atomic.Bool // to end, by a drain that counts it. Set under the table's lock
}

// none is a value that says nothing.
type none struct{}

// maxPath is how much of a path a tunnel remembers, in bytes.
const maxPath = 256

// Admission says whose tunnel it will be.
type Admission struct {
	// ClientIP as Caddy sees it (trusted_proxies). The zero value: unknown.
	ClientIP netip.Addr
	// User who was authenticated. Empty: nobody was.
	User string
	// Path that was asked for, without a query. More than 256 bytes are cut.
	Path string
	// Upstream is the label of metrics and logs: an address of the
	// configuration, or "dynamic".
	Upstream string
	// Handler is the name of the handler, whose limits the tunnel follows.
	Handler string
	// Release is called once, when the tunnel has ended or was abandoned.
	Release func()
}

// Admit lists a tunnel that is about to start, or returns a [*ClosedError] when
// the gate closed while the handshake was under way. From here on the tunnel
// is drained like the others, even before it was started.
func (e *Entry) Admit(a Admission) (*Tunnel, error) {
	t := &Tunnel{
		id: TunnelID(e.reg.lastID.Add(1)), entry: e, clientIP: a.ClientIP, release: a.Release,
		user: a.User, path: cutPath(a.Path),
	}
	t.Tunnel = tunnel.New(tunnel.Options{Owner: t})
	t.handler, t.upstream = e.handlers.use(a.Handler), e.upstreams.use(a.Upstream)
	if err := e.table.add(t, e.admits); err != nil {
		t.leaveOthers()
		return nil, err
	}
	e.reg.tidier.opened()
	e.handlers.watch()
	return t, nil
}

// admits returns a [*ClosedError] where the gate admits nothing. It is asked while
// the tunnel's place in the table is locked.
func (e *Entry) admits() error {
	switch s := e.gate.Snapshot(); {
	case e.reg.exiting.Load():
		return &ClosedError{ExitVerdict()}
	case e.retired.Load():
		return &ClosedError{gate.Verdict{Cause: gate.CauseConfig, Reason: gate.RemovedReason}}
	case !s.Open:
		return &ClosedError{s.Verdict}
	}
	return nil
}

// cutPath copies what a tunnel remembers of a path, and nothing of what that is
// part of.
func cutPath(path string) string {
	return string([]byte(path[:min(len(path), maxPath)]))
}

// ID returns the tunnel's name.
func (t *Tunnel) ID() TunnelID { return t.id }

// Opened says that the 101 (or 200) has gone to the client, and how long that
// took.
func (t *Tunnel) Opened(took time.Duration) {
	t.entry.counters.handshakes.add(Accepted)
	t.entry.counters.tries.observe(took)
	publish(t.entry.name, TunnelOpened{t.info()})
}

// Drop takes an admitted tunnel that never started out of the table.
func (t *Tunnel) Drop() { t.leave() }

// Ended is called by the tunnel, once, when both its connections are closed.
func (t *Tunnel) Ended(res tunnel.Result) {
	c := t.entry.counters
	c.closed.add(ClosedLabel{string(res.By), codeLabel(res.Code)})
	c.lives.observe(res.Duration)
	publish(t.entry.name, TunnelClosed{t.info(), res})
	t.leave()
}

// leave takes the tunnel out of the table.
func (t *Tunnel) leave() {
	e := t.entry
	if e.table.remove(t) {
		e.drain.gone(1, false)
	}
	t.leaveOthers()
	e.reg.tidier.closed()
	if t.release != nil {
		t.release()
	}
	if e.table.count.Add(-1) == 0 {
		e.reg.mu.Lock()
		e.reg.forget(e)
		e.reg.mu.Unlock()
	}
}

// leaveOthers gives back what the tunnel uses besides its place in the table.
func (t *Tunnel) leaveOthers() {
	t.entry.upstreams.leave(t.upstream, nil)
	t.entry.handlers.leave(t.handler, keepLimits)
}

func (t *Tunnel) info() TunnelInfo {
	return TunnelInfo{ID: t.id, Gate: t.entry.name, ClientIP: t.clientIP, Upstream: t.upstream.key}
}

// closeAll tells every tunnel of the gate to end.
func (e *Entry) closeAll(c tunnel.Closing) {
	for _, t := range e.table.all() {
		t.Close(c)
	}
}
