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

// lastID starts at a random number, so that the ids of two runs differ.
var lastID atomic.Uint64

func init() {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand.Read)
	lastID.Store(binary.BigEndian.Uint64(b[:]) >> 8)
}

// Tunnel is one accepted connection in its gate's table.
type Tunnel struct {
	*tunnel.Tunnel

	// Set once by Admit.
	id       TunnelID
	entry    *Entry
	clientIP netip.Addr
	upstream *upstreamCount
	limits   *Limits
	release  func()

	told atomic.Bool // to end, by a drain that counts it. Set under entry.mu

	index int32 // in entry.tunnels, guarded by entry.mu
}

// Admission says whose tunnel it will be.
type Admission struct {
	// ClientIP as Caddy sees it (trusted_proxies). The zero value: unknown.
	ClientIP netip.Addr
	// Upstream is the label of metrics and logs: an address of the
	// configuration, or "dynamic".
	Upstream string
	// Limits is the handler's key for its timeouts.
	Limits string
	// Release is called once, when the tunnel has ended or was abandoned.
	Release func()
}

// Admit lists a tunnel that is about to start, or returns a [*ClosedError] when
// the gate closed while the handshake was under way. From here on the tunnel
// is treated by closing like the others, even before it was started.
func (e *Entry) Admit(a Admission) (*Tunnel, error) {
	t := &Tunnel{id: TunnelID(lastID.Add(1)), entry: e, clientIP: a.ClientIP, release: a.Release}
	t.Tunnel = tunnel.New(tunnel.Options{Owner: t})
	e.mu.Lock()
	defer e.mu.Unlock()
	if exiting.Load() {
		return nil, &ClosedError{ExitVerdict()}
	}
	if e.buried {
		return nil, &ClosedError{gate.Verdict{Cause: gate.CauseConfig, Reason: gate.RemovedReason}}
	}
	if s := e.gate.Snapshot(); !s.Open {
		return nil, &ClosedError{s.Verdict}
	}
	t.index = int32(len(e.tunnels))
	e.tunnels = append(e.tunnels, t)
	t.upstream = e.countUpstream(a.Upstream)
	t.limits = e.limitsOf(a.Limits)
	t.limits.tunnels++
	e.count.Add(1)
	tidiness.opened()
	e.armSweep()
	return t, nil
}

// ID returns the tunnel's name.
func (t *Tunnel) ID() TunnelID { return t.id }

// Opened says that the 101 (or 200) has gone to the client.
func (t *Tunnel) Opened() {
	t.entry.accepted.Add(1)
	observer().TunnelOpened(t.info())
}

// Drop takes an admitted tunnel that never started out of the table.
func (t *Tunnel) Drop() { t.leave() }

// Ended is called by the tunnel, once, when both its connections are closed.
func (t *Tunnel) Ended(res tunnel.Result) {
	observer().TunnelClosed(t.info(), res)
	t.leave()
}

// leave takes the tunnel out of the table.
func (t *Tunnel) leave() {
	e := t.entry
	e.mu.Lock()
	last := len(e.tunnels) - 1
	moved := e.tunnels[last]
	e.tunnels[t.index], moved.index = moved, t.index
	e.tunnels[last] = nil
	e.tunnels = e.tunnels[:last]
	if cap(e.tunnels) > 64 && last < cap(e.tunnels)/4 {
		e.tunnels = append(make([]*Tunnel, 0, cap(e.tunnels)/2), e.tunnels...)
	}
	e.gone.Add(t.Counts())
	if t.told.Load() {
		e.drain.left--
	}
	t.upstream.open--
	t.limits.tunnels--
	e.forgetLimits(t.limits)
	e.mu.Unlock()
	tidiness.closed()
	if t.release != nil {
		t.release()
	}
	if e.count.Add(-1) == 0 {
		e.reg.mu.Lock()
		e.reg.forget(e)
		e.reg.mu.Unlock()
	}
}

func (t *Tunnel) info() TunnelInfo {
	return TunnelInfo{ID: t.id, Gate: t.entry.name, ClientIP: t.clientIP, Upstream: t.upstream.label}
}

// upstreamCount is how many tunnels of a gate go to one upstream. Guarded by
// entry.mu. It stays when it falls to zero, so that the metric does too.
type upstreamCount struct {
	label string
	open  int
}

// countUpstream counts one more tunnel. e.mu is held.
func (e *Entry) countUpstream(label string) *upstreamCount {
	u := e.upstreams[label]
	if u == nil {
		u = &upstreamCount{label: label}
		e.upstreams[label] = u
	}
	u.open++
	return u
}

// closeAll tells every tunnel of the gate to end.
func (e *Entry) closeAll(c tunnel.Closing) {
	e.mu.Lock()
	open := append([]*Tunnel(nil), e.tunnels...)
	e.mu.Unlock()
	for _, t := range open {
		t.Close(c)
	}
}

// draining reports whether tunnels are left that were told to end by a
// deadline that is still running. e.mu is held.
func (e *Entry) draining(now time.Time) bool {
	return e.drain.left > 0 && now.Before(e.drain.Deadline)
}
