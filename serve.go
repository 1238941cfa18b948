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
	q := &request{h: h, w: w, r: r, began: time.Now(), body: r.ContentLength != 0 || len(r.TransferEncoding) > 0}
	q.verdict = h.entry.Verdict(q.began)
	q.mapPlaceholders()
	hs := handshake.Enter(w, r, h.Gate)
	if hs == nil {
		return next.ServeHTTP(w, r)
	}
	defer hs.End()
	defer registry.Attach()()
	q.handshake, q.w = hs, hs.Writer
	q.verdict = h.entry.Verdict(q.began) // again: from here on a gate that closes stops the handshake
	q.clientIP, _ = caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	switch {
	case hs.Malformed != nil:
		return q.answerMalformed(hs.Malformed)
	case hs.Exiting:
		q.verdict = registry.ExitVerdict()
		return q.answerClosed()
	case !q.verdict.Open:
		return q.answerClosed()
	}
	accepted, failed := h.engine.Handshake(hs.Writer, hs.Request, next, !hs.Detached)
	if failed != nil {
		return q.answerFailed(failed)
	}
	return q.openTunnel(accepted)
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

// openTunnel turns the backend's 101 into a tunnel.
func (q *request) openTunnel(up *upstream.Accepted) error {
	label := up.Upstream
	if up.Dynamic {
		label = "dynamic"
	}
	ip, _ := netip.ParseAddr(q.clientIP)
	t, err := q.h.entry.Admit(registry.Admission{
		ClientIP: ip, User: q.user(), Path: q.path(), Upstream: label, Handler: q.h.handlerKey, Release: up.Release,
	})
	if err != nil { // the gate closed meanwhile
		_ = up.Conn.Close()
		up.Release()
		var closed *registry.ClosedError
		if errors.As(err, &closed) {
			q.verdict = closed.Verdict
		}
		return q.answerClosed()
	}
	q.tunnelID = t.ID().String()
	q.addLogFields()
	q.w.Header().Del("Server") // neither the backend's nor Caddy's own is sent
	conn, early, err := q.handshake.Accept(up.Header)
	if err != nil {
		_ = up.Conn.Close()
		t.Drop()
		q.upstream = up.Upstream
		q.refuse(string(upstream.Aborted), 0, err)
		return nil // no answer can be sent any more
	}
	q.outcome = registry.Accepted
	t.Opened(time.Since(q.began))
	t.Start(tunnel.Peer{Conn: conn, Early: early}, tunnel.Peer{Conn: up.Conn, Early: up.Early})
	if !q.handshake.Detached {
		t.Wait()
	}
	return nil
}

// answerMalformed answers a malformed handshake.
func (q *request) answerMalformed(err error) error {
	status := http.StatusBadRequest
	var m *handshake.Malformed
	if errors.As(err, &m) {
		status = m.Status
		for name, values := range m.Header {
			q.w.Header()[name] = values
		}
	}
	q.refuse(outcomeMalformed, status, err)
	return q.answer(status, err)
}

// answerClosed answers a handshake that met a closed gate. The client reads
// public text; the rest of the verdict goes to the log.
func (q *request) answerClosed() error {
	q.w.Header().Set("Cache-Control", "no-store")
	q.refuse(outcomeClosed, http.StatusServiceUnavailable, nil)
	return q.answer(http.StatusServiceUnavailable, errors.New(q.verdict.PublicText(time.Now())))
}

// answerFailed answers a handshake that no upstream accepted.
func (q *request) answerFailed(e *upstream.Error) error {
	q.upstream = e.Upstream
	if e.Outcome == upstream.Stopped {
		q.verdict = registry.ExitVerdict()
		var closed *registry.ClosedError
		if errors.As(e.Err, &closed) {
			q.verdict = closed.Verdict
		}
		return q.answerClosed()
	}
	q.refuse(string(e.Outcome), e.Status, e)
	if e.Cut {
		panic(http.ErrAbortHandler)
	}
	switch {
	case e.Answered, e.Outcome == upstream.Aborted:
		return nil // the client has an answer, or is gone
	case e.Outcome == upstream.Refused:
		return q.answer(e.Status, e.Err)
	}
	// The log gets the details of the failure; the client gets only the status.
	return q.answer(e.Status, errors.New(http.StatusText(e.Status)))
}

// refuse ends the handshake: from now on nobody sees the request as a
// handshake. It counts and logs the refusal.
func (q *request) refuse(outcome string, status int, err error) {
	q.outcome = outcome
	handshake.Strip(q.r)
	q.addLogFields()
	if outcome == outcomeClosed && caddyhttp.GetVar(q.r.Context(), caddyhttp.LogLevelVar) == nil {
		caddyhttp.SetVar(q.r.Context(), caddyhttp.LogLevelVar, "info") // a gate that is closed all night is no error
	}
	q.h.entry.CountRefused(outcome)
	took := time.Since(q.began)
	if outcome != outcomeClosed && outcome != outcomeMalformed {
		q.h.entry.ObserveHandshake(took)
	}
	events.Default.Publish(events.Event{Gate: q.h.Gate, What: refused{
		clientIP: q.clientIP, upstream: q.upstream, outcome: outcome, status: status,
		verdict: q.verdict, err: err, took: took,
	}})
}

// user returns the user that a handler in front of the gate authenticated.
// Empty: none.
func (q *request) user() string {
	repl, ok := q.r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return ""
	}
	user, _ := repl.GetString("http.auth.user.id")
	return user
}

// path returns the path as the client sent it, without the query.
func (q *request) path() string {
	if o, ok := q.r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		return o.URL.EscapedPath()
	}
	return q.r.URL.EscapedPath()
}

const (
	// leastWait and mostWait are the limits, in seconds, of the time that a
	// client should wait when nobody knows how long the gate stays closed. The
	// time is random, so that clients do not all come back at the same moment.
	leastWait, mostWait = 5, 30
)

// retryAfter returns how many seconds the client should wait: until the gate
// can open, else a random number.
func (q *request) retryAfter() int {
	if q.wait == 0 && !q.verdict.Open {
		q.wait = q.verdict.RetryAfter(time.Now())
	}
	if q.wait == 0 {
		q.wait = leastWait + rand.IntN(mostWait-leastWait+1) //nolint:gosec // not a secret
	}
	return q.wait
}

// addLogFields adds the gate, and the tunnel if there is one, to the access
// log.
func (q *request) addLogFields() {
	if s := q.h.server; s != nil && s.Logs == nil {
		return // there is no access log
	}
	if extra, ok := q.r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Set(zap.String("wsgate", q.h.Gate))
		if q.tunnelID != "" {
			extra.Set(zap.String("tunnel_id", q.tunnelID))
		}
	}
}

// mapPlaceholders makes {http.wsgate.*} available to the rest of the request.
func (q *request) mapPlaceholders() {
	if repl, ok := q.r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Map(q.placeholder)
	}
}

func (q *request) placeholder(key string) (any, bool) {
	switch key {
	case "http.wsgate.gate":
		return q.h.Gate, true
	case "http.wsgate.state":
		return stateWord(q.verdict.Open), true
	case "http.wsgate.cause":
		return string(q.verdict.Cause), true
	case "http.wsgate.reason":
		if q.verdict.Open && q.verdict.Text == "" {
			return "", true
		}
		return q.verdict.PublicText(time.Now()), true
	case "http.wsgate.outcome":
		return q.outcome, true
	case "http.wsgate.until":
		if q.verdict.Until.IsZero() {
			return "", true
		}
		return q.verdict.Until.UTC().Format(time.RFC3339), true
	case "http.wsgate.retry_after":
		if q.verdict.Open && q.wait == 0 {
			return "", true
		}
		return strconv.Itoa(q.retryAfter()), true
	case "http.wsgate.tunnel_id":
		return q.tunnelID, true
	}
	return nil, false
}
