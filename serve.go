package wsgate

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/handshake"
	"github.com/wsgate/wsgate/internal/registry"
	"github.com/wsgate/wsgate/tunnel"
	"github.com/wsgate/wsgate/upstream"
)

// The outcomes of a handshake that are decided here; the others come from the
// upstream room.
const (
	outcomeAccepted  = "accepted"
	outcomeClosed    = "closed"
	outcomeMalformed = "malformed"
)

// ServeHTTP takes one request through. A handshake is checked, meets the gate,
// is passed to an upstream, and becomes a tunnel that is the gate's own; on
// HTTP/1.1 the handler returns then, on HTTP/2 and HTTP/3 it stays with its
// stream. Any other request goes to the next handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	a := &attempt{h: h, w: w, r: r, began: time.Now()}
	a.verdict = h.entry.Verdict(a.began)
	a.placeholders()
	if !handshake.Is(r) {
		return next.ServeHTTP(w, r)
	}
	a.clientIP, _ = caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)

	if err := handshake.Check(r); err != nil {
		return a.malformed(err)
	}
	if !a.verdict.Open {
		return a.closed()
	}
	accepted, failed := h.engine.Handshake(w, r, next)
	if failed != nil {
		return a.failed(failed)
	}
	return a.open(accepted)
}

// attempt is one handshake on its way.
type attempt struct {
	h        *Handler
	w        http.ResponseWriter
	r        *http.Request
	began    time.Time
	clientIP string
	verdict  gate.Verdict
	upstream string // that refused, or failed
	tunnelID string
}

// open turns the backend's 101 into a tunnel.
func (a *attempt) open(up *upstream.Accepted) error {
	label := up.Upstream
	if up.Dynamic {
		label = "dynamic"
	}
	ip, _ := netip.ParseAddr(a.clientIP)
	t, err := a.h.entry.Admit(registry.Admission{
		ClientIP: ip, Upstream: label, Limits: a.h.limitsKey, Release: up.Release,
	})
	if err != nil { // the gate closed meanwhile
		_ = up.Conn.Close()
		up.Release()
		var closed *registry.ClosedError
		if errors.As(err, &closed) {
			a.verdict = closed.Verdict
		}
		return a.closed()
	}
	a.tunnelID = t.ID().String()
	a.note()
	if !handshake.Detached(a.r) {
		defer registry.Attach()()
	}
	a.w.Header().Del("Server") // neither the backend's nor Caddy's own
	conn, early, err := handshake.Take(a.w, a.r, up.Header)
	if err != nil {
		_ = up.Conn.Close()
		t.Drop()
		a.upstream = up.Upstream
		a.count(string(upstream.Aborted), 0, err)
		return nil // nothing can be answered any more
	}
	handshakesTotal.WithLabelValues(a.h.Gate, outcomeAccepted).Inc()
	handshakeSeconds.WithLabelValues(a.h.Gate).Observe(time.Since(a.began).Seconds())
	t.Opened()
	t.Start(tunnel.Peer{Conn: conn, Early: early}, tunnel.Peer{Conn: up.Conn, Early: up.Early})
	if !handshake.Detached(a.r) {
		t.Wait()
		if caddy.Exiting() {
			handshake.Farewell(a.r)
		}
	}
	return nil
}

// malformed answers a handshake that is none.
func (a *attempt) malformed(err error) error {
	status := http.StatusBadRequest
	var m *handshake.Malformed
	if errors.As(err, &m) {
		status = m.Status
		for name, values := range m.Header {
			a.w.Header()[name] = values
		}
	}
	a.count(outcomeMalformed, status, err)
	return a.answer(status, err)
}

// closed answers a handshake that met a closed gate.
func (a *attempt) closed() error {
	now := time.Now()
	if wait := a.verdict.RetryAfter(now); wait > 0 {
		a.w.Header().Set("Retry-After", strconv.Itoa(wait))
	}
	a.w.Header().Set("Cache-Control", "no-store")
	a.count(outcomeClosed, http.StatusServiceUnavailable, nil)
	return a.answer(http.StatusServiceUnavailable, fmt.Errorf("gate %q is closed: %s", a.h.Gate, a.verdict.Reason))
}

// failed answers a handshake that no upstream accepted.
func (a *attempt) failed(e *upstream.Error) error {
	a.upstream = e.Upstream
	a.count(string(e.Outcome), e.Status, e)
	if e.Cut {
		panic(http.ErrAbortHandler)
	}
	switch {
	case e.Answered, e.Outcome == upstream.Aborted:
		return nil // it has an answer, or nobody is there to read one
	case e.Outcome == upstream.Refused:
		return a.answer(e.Status, e.Err)
	}
	// What went wrong behind us is for the log; the client gets the status.
	return a.answer(e.Status, errors.New(http.StatusText(e.Status)))
}

// count counts and logs a refusal.
func (a *attempt) count(outcome string, status int, err error) {
	a.h.entry.Refused(outcome)
	took := time.Since(a.began)
	if outcome != outcomeClosed && outcome != outcomeMalformed {
		handshakeSeconds.WithLabelValues(a.h.Gate).Observe(took.Seconds())
	}
	refused{
		gate: a.h.Gate, clientIP: a.clientIP, upstream: a.upstream, outcome: outcome, status: status,
		verdict: a.verdict, err: err, took: took,
	}.report()
}

// note adds gate and tunnel to the access log.
func (a *attempt) note() {
	if s := a.h.server; s != nil && s.Logs == nil {
		return // there is none
	}
	if extra, ok := a.r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Set(zap.String("wsgate", a.h.Gate))
		extra.Set(zap.String("tunnel_id", a.tunnelID))
	}
}

// placeholders makes {http.wsgate.*} known to the rest of the request.
func (a *attempt) placeholders() {
	if repl, ok := a.r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Map(a.placeholder)
	}
}

func (a *attempt) placeholder(key string) (any, bool) {
	switch key {
	case "http.wsgate.gate":
		return a.h.Gate, true
	case "http.wsgate.state":
		return stateWord(a.verdict.Open), true
	case "http.wsgate.cause":
		return string(a.verdict.Cause), true
	case "http.wsgate.reason":
		return a.verdict.Reason, true
	case "http.wsgate.until":
		if a.verdict.Until.IsZero() {
			return "", true
		}
		return a.verdict.Until.UTC().Format(time.RFC3339), true
	case "http.wsgate.retry_after":
		if wait := a.verdict.RetryAfter(time.Now()); wait > 0 {
			return strconv.Itoa(wait), true
		}
		return "", true
	case "http.wsgate.tunnel_id":
		return a.tunnelID, true
	}
	return nil, false
}

// clientText is a client's address as logs have it: empty where unknown.
func clientText(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	return ip.String()
}
