package wsgate

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/events"
	"github.com/wsgate/wsgate/internal/handshake"
	"github.com/wsgate/wsgate/internal/registry"
	"github.com/wsgate/wsgate/tunnel"
	"github.com/wsgate/wsgate/upstream"
)

// The outcomes of a handshake that are decided here. The others come from
// package upstream.
const (
	outcomeClosed    = "closed"
	outcomeMalformed = "malformed"
)

// ServeHTTP serves one request. A handshake is checked, passes the gate, goes
// to an upstream, and becomes a tunnel that belongs to the gate. On HTTP/1.1
// the handler then returns; on HTTP/2 and HTTP/3 it stays with its stream. A
// refused handshake is no longer a handshake: the handlers after it see a plain
// GET. Any other request goes to the next handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	a := &request{h: h, w: w, r: r, began: time.Now(), body: r.ContentLength != 0 || len(r.TransferEncoding) > 0}
	a.verdict = h.entry.Verdict(a.began)
	a.placeholders()
	hs := handshake.Enter(w, r, h.Gate)
	if hs == nil {
		return next.ServeHTTP(w, r)
	}
	defer hs.End()
	defer registry.Attach()()
	a.handshake, a.w = hs, hs.Writer
	a.verdict = h.entry.Verdict(a.began) // again: from here on a gate that closes stops the handshake
	a.clientIP, _ = caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	switch {
	case hs.Malformed != nil:
		return a.malformed(hs.Malformed)
	case hs.Exiting:
		a.verdict = registry.ExitVerdict()
		return a.closed()
	case !a.verdict.Open:
		return a.closed()
	}
	accepted, failed := h.engine.Handshake(hs.Writer, hs.Request, next, !hs.Detached)
	if failed != nil {
		return a.failed(failed)
	}
	return a.open(accepted)
}

// request is one handshake while it is served.
type request struct {
	h         *Handler
	handshake *handshake.Handshake
	w         http.ResponseWriter
	r         *http.Request
	began     time.Time
	body      bool // the request has a body
	clientIP  string
	verdict   gate.Verdict
	wait      int // seconds that the client should wait; 0: not chosen yet
	outcome   string
	upstream  string // the one that refused, or failed
	tunnelID  string
}

// open turns the backend's 101 into a tunnel.
func (a *request) open(up *upstream.Accepted) error {
	label := up.Upstream
	if up.Dynamic {
		label = "dynamic"
	}
	ip, _ := netip.ParseAddr(a.clientIP)
	t, err := a.h.entry.Admit(registry.Admission{
		ClientIP: ip, User: a.user(), Path: a.path(), Upstream: label, Handler: a.h.handlerKey, Release: up.Release,
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
	a.w.Header().Del("Server") // neither the backend's nor Caddy's own is sent
	conn, early, err := a.handshake.Accept(up.Header)
	if err != nil {
		_ = up.Conn.Close()
		t.Drop()
		a.upstream = up.Upstream
		a.refuse(string(upstream.Aborted), 0, err)
		return nil // no answer can be sent any more
	}
	a.outcome = registry.Accepted
	t.Opened(time.Since(a.began))
	t.Start(tunnel.Peer{Conn: conn, Early: early}, tunnel.Peer{Conn: up.Conn, Early: up.Early})
	if !a.handshake.Detached {
		t.Wait()
	}
	return nil
}

// malformed answers a malformed handshake.
func (a *request) malformed(err error) error {
	status := http.StatusBadRequest
	var m *handshake.Malformed
	if errors.As(err, &m) {
		status = m.Status
		for name, values := range m.Header {
			a.w.Header()[name] = values
		}
	}
	a.refuse(outcomeMalformed, status, err)
	return a.answer(status, err)
}

// closed answers a handshake that met a closed gate. The client reads public
// text; the rest of the verdict goes to the log.
func (a *request) closed() error {
	a.w.Header().Set("Cache-Control", "no-store")
	a.refuse(outcomeClosed, http.StatusServiceUnavailable, nil)
	return a.answer(http.StatusServiceUnavailable, errors.New(a.verdict.PublicText(time.Now())))
}

// failed answers a handshake that no upstream accepted.
func (a *request) failed(e *upstream.Error) error {
	a.upstream = e.Upstream
	if e.Outcome == upstream.Stopped {
		a.verdict = registry.ExitVerdict()
		var closed *registry.ClosedError
		if errors.As(e.Err, &closed) {
			a.verdict = closed.Verdict
		}
		return a.closed()
	}
	a.refuse(string(e.Outcome), e.Status, e)
	if e.Cut {
		panic(http.ErrAbortHandler)
	}
	switch {
	case e.Answered, e.Outcome == upstream.Aborted:
		return nil // the client has an answer, or is gone
	case e.Outcome == upstream.Refused:
		return a.answer(e.Status, e.Err)
	}
	// The log gets the details of the failure; the client gets only the status.
	return a.answer(e.Status, errors.New(http.StatusText(e.Status)))
}

// refuse ends the handshake: from now on nobody sees the request as a
// handshake. It counts and logs the refusal.
func (a *request) refuse(outcome string, status int, err error) {
	a.outcome = outcome
	handshake.Strip(a.r)
	a.note()
	if outcome == outcomeClosed && caddyhttp.GetVar(a.r.Context(), caddyhttp.LogLevelVar) == nil {
		caddyhttp.SetVar(a.r.Context(), caddyhttp.LogLevelVar, "info") // a gate that is closed all night is no error
	}
	a.h.entry.CountRefused(outcome)
	took := time.Since(a.began)
	if outcome != outcomeClosed && outcome != outcomeMalformed {
		a.h.entry.ObserveHandshake(took)
	}
	events.Default.Publish(events.Event{Gate: a.h.Gate, What: refused{
		clientIP: a.clientIP, upstream: a.upstream, outcome: outcome, status: status,
		verdict: a.verdict, err: err, took: took,
	}})
}

// user returns the user that a handler in front of the gate authenticated.
// Empty: none.
func (a *request) user() string {
	repl, ok := a.r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return ""
	}
	user, _ := repl.GetString("http.auth.user.id")
	return user
}

// path returns the path as the client sent it, without the query.
func (a *request) path() string {
	if o, ok := a.r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		return o.URL.EscapedPath()
	}
	return a.r.URL.EscapedPath()
}

const (
	// leastWait and mostWait are the limits, in seconds, of the time that a
	// client should wait when nobody knows how long the gate stays closed. The
	// time is random, so that clients do not all come back at the same moment.
	leastWait, mostWait = 5, 30
)

// retryAfter returns how many seconds the client should wait: until the gate
// can open, else a random number.
func (a *request) retryAfter() int {
	if a.wait == 0 && !a.verdict.Open {
		a.wait = a.verdict.RetryAfter(time.Now())
	}
	if a.wait == 0 {
		a.wait = leastWait + rand.IntN(mostWait-leastWait+1) //nolint:gosec // not a secret
	}
	return a.wait
}

// note adds the gate, and the tunnel if there is one, to the access log.
func (a *request) note() {
	if s := a.h.server; s != nil && s.Logs == nil {
		return // there is no access log
	}
	if extra, ok := a.r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Set(zap.String("wsgate", a.h.Gate))
		if a.tunnelID != "" {
			extra.Set(zap.String("tunnel_id", a.tunnelID))
		}
	}
}

// placeholders makes {http.wsgate.*} available to the rest of the request.
func (a *request) placeholders() {
	if repl, ok := a.r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Map(a.placeholder)
	}
}

func (a *request) placeholder(key string) (any, bool) {
	switch key {
	case "http.wsgate.gate":
		return a.h.Gate, true
	case "http.wsgate.state":
		return stateWord(a.verdict.Open), true
	case "http.wsgate.cause":
		return string(a.verdict.Cause), true
	case "http.wsgate.reason":
		if a.verdict.Open && a.verdict.Text == "" {
			return "", true
		}
		return a.verdict.PublicText(time.Now()), true
	case "http.wsgate.outcome":
		return a.outcome, true
	case "http.wsgate.until":
		if a.verdict.Until.IsZero() {
			return "", true
		}
		return a.verdict.Until.UTC().Format(time.RFC3339), true
	case "http.wsgate.retry_after":
		if a.verdict.Open && a.wait == 0 {
			return "", true
		}
		return strconv.Itoa(a.retryAfter()), true
	case "http.wsgate.tunnel_id":
		return a.tunnelID, true
	}
	return nil, false
}
