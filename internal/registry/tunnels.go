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

// TunnelID names a tunnel. It is unique in this process, and most likely in
// others, too.
type TunnelID uint64

// String returns the id as logs and the API show it: base 36, without
// punctuation.
func (id TunnelID) String() string { return strconv.FormatUint(uint64(id), 36) }

// firstID returns a random number, so that two processes have different ids.
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

	told atomic.Bool // a drain has told it to end and counts it; set under the table's lock
}

// none is a type without a value.
type none struct{}

// maxPath is how much of a path a tunnel keeps, in bytes.
const maxPath = 256

// Admission describes a new tunnel.
type Admission struct {
	// ClientIP is the client's address as Caddy sees it (trusted_proxies). The
	// zero value: unknown.
	ClientIP netip.Addr
	// User is the authenticated user. Empty: there is none.
	User string
	// Path is the path of the request, without a query. It is cut after 256
	// bytes.
	Path string
	// Upstream is the label for metrics and logs: an address of the
	// configuration, or "dynamic".
	Upstream string
	// Handler is the name of the handler. The tunnel follows its limits.
	Handler string
	// Release is called once, when the tunnel has ended or was dropped.
	Release func()
}

// Admit lists a new tunnel before it starts. It returns a [*ClosedError] if the
// gate has closed during the handshake. From now on a drain reaches the tunnel,
// even if it has not started.
func (e *Entry) Admit(a Admission) (*Tunnel, error) {
	t := &Tunnel{
		id: TunnelID(e.reg.lastID.Add(1)), entry: e, clientIP: a.ClientIP, release: a.Release,
		user: a.User, path: cutPath(a.Path),
	}
	t.Tunnel = tunnel.New(tunnel.Options{Owner: t})
	t.handler, t.upstream = e.handlers.use(a.Handler), e.upstreams.use(a.Upstream)
	if err := e.table.add(t, t.checkAdmission); err != nil {
		t.releaseUsage()
		return nil, err
	}
	e.reg.tidier.opened()
	e.handlers.ensureTimer()
	return t, nil
}

// checkAdmission counts the tunnel for its upstream, unless the gate admits
// nothing.
func (t *Tunnel) checkAdmission() error {
	if err := t.entry.checkAdmission(); err != nil {
		return err
	}
	t.upstream.listed.Add(1)
	t.handler.listed.Add(1)
	return nil
}

// checkAdmission returns a [*ClosedError] if the gate admits nothing. The table
// calls it under the lock of the tunnel's shard.
func (e *Entry) checkAdmission() error {
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

// cutPath copies the begin of a path, so that the tunnel does not keep the
// request in memory.
func cutPath(path string) string {
	return string([]byte(path[:min(len(path), maxPath)]))
}

// ID returns the tunnel's id.
func (t *Tunnel) ID() TunnelID { return t.id }

// Opened counts a tunnel whose client was sent the 101 (or 200). took is the
// duration of the handshake.
func (t *Tunnel) Opened(took time.Duration) {
	t.entry.counters.handshakes.add(Accepted)
	t.entry.counters.handshakeTimes.observe(took)
	publish(t.entry.name, TunnelOpened{t.info()})
}

// Drop removes a tunnel that has never started.
func (t *Tunnel) Drop() { t.leave() }

// Ended is called once by the tunnel, when both its connections are closed.
func (t *Tunnel) Ended(res tunnel.Result) {
	c := t.entry.counters
	c.closed.add(ClosedLabel{string(res.By), codeLabel(res.Code)})
	c.tunnelTimes.observe(res.Duration)
	publish(t.entry.name, TunnelClosed{t.info(), res})
	t.leave()
}

// leave removes the tunnel from the table.
func (t *Tunnel) leave() {
	e := t.entry
	if e.table.remove(t) {
		e.drain.noteEnded(1, false)
	}
	t.upstream.listed.Add(-1)
	t.handler.listed.Add(-1)
	t.releaseUsage()
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

// releaseUsage releases what the tunnel uses besides the table.
func (t *Tunnel) releaseUsage() {
	t.entry.upstreams.release(t.upstream, nil)
	t.entry.handlers.release(t.handler, keepLimits)
}

func (t *Tunnel) info() TunnelInfo {
	return TunnelInfo{ID: t.id, Gate: t.entry.name, ClientIP: t.clientIP, Upstream: t.upstream.key}
}

// closeAll closes every tunnel of the gate.
func (e *Entry) closeAll(c tunnel.Closing) {
	for _, t := range e.table.all() {
		t.Close(c)
	}
}
