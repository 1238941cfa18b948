package upstream

import (
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"golang.org/x/net/http/httpguts"
)

// short runs a handshake where reverse_proxy would only choose an upstream,
// forward the request and see a 101. It uses reverse_proxy's own policy, makes
// the same request to the byte, and connects directly. Any other outcome
// (another answer, a false claim, an error, no available upstream) goes to
// reverse_proxy as the outcome of its first attempt. So retries, passive
// health, error pages and handle_response stay its code.
type short struct {
	direct *direct
	proxy  *reverseproxy.Handler
	dials  map[*reverseproxy.Upstream]*reverseproxy.DialInfo
}

// newShort returns the short way of a provisioned handler. Nil: reverse_proxy
// is configured to do more, and must run all handshakes.
func newShort(h *reverseproxy.Handler, d *direct) *short {
	if d == nil || h.DynamicUpstreams != nil || h.Rewrite != nil || h.CB != nil || len(h.TrustedProxies) > 0 || h.VerboseLogs ||
		h.LoadBalancing.TryDuration > 0 || len(h.LoadBalancing.RetryMatch) > 0 || h.HealthChecks != nil && h.HealthChecks.Passive != nil && h.HealthChecks.Passive.UnhealthyLatency > 0 {
		return nil
	}
	s := &short{direct: d, proxy: h, dials: make(map[*reverseproxy.Upstream]*reverseproxy.DialInfo, len(h.Upstreams))}
	for _, u := range h.Upstreams {
		at, err := caddy.ParseNetworkAddress(u.Dial)
		if err != nil || at.PortRangeSize() != 1 || strings.Contains(u.Dial, "{") {
			return nil // reverse_proxy reports the error, or fills the placeholder
		}
		s.dials[u] = &reverseproxy.DialInfo{
			Upstream: u, Network: at.Network, Address: at.JoinHostPort(0),
			Host: at.Host, Port: strconv.FormatUint(uint64(at.StartPort), 10),
		}
	}
	return s
}

// firstResult is the outcome of an attempt on the short way, if reverse_proxy
// has to handle it.
type firstResult struct {
	upstream *reverseproxy.Upstream
	res      *http.Response
	err      error
}

// canRun reports whether a request can go the short way.
func (*short) canRun(r *http.Request) bool {
	_, _, err := net.SplitHostPort(r.RemoteAddr)
	return err == nil && (r.TLS == nil || r.TLS.HandshakeComplete)
}

// handshake runs one handshake. After it, the attempt has what the backend
// accepted, or an outcome for reverse_proxy, or neither if no upstream is
// available.
func (s *short) handshake(w http.ResponseWriter, r *http.Request, a *attempt) {
	out := forwardedRequest(r)
	u := s.proxy.LoadBalancing.SelectionPolicy.Select(s.proxy.Upstreams, out, w)
	if u == nil {
		return
	}
	at := s.dials[u]
	if at == nil {
		return // the policy chose an upstream of its own
	}
	a.chosen, a.tried, a.began = at, u.Dial, time.Now()
	a.repl.Map(a.placeholder)
	out.URL.Host = at.Address // used if the request has no Host
	if ops := s.proxy.Headers; ops != nil && ops.Request != nil {
		out.Header = out.Header.Clone() // Request replaces values in place
		ops.Request.ApplyToRequest(out)
	}
	spellAsRFC(out.Header)
	release := addLoad(u.Dial)
	res, conn, early, err := s.direct.roundTrip(r.Context(), out, at, a.deadline, forwardHints(w))
	a.latency = time.Since(a.began)
	if err == nil && res.StatusCode == http.StatusSwitchingProtocols {
		if err = a.acceptAnswer(out.Header, res, conn, early, release); err == nil {
			return
		}
		res = nil
	}
	release()
	a.first = &firstResult{upstream: u, res: res, err: err}
}

// via returns what this server adds to Via (RFC 9110 §7.6.3).
func via(major, minor int) string {
	if major == 1 && minor == 1 {
		return "1.1 Caddy"
	}
	return strconv.Itoa(major) + "." + strconv.Itoa(minor) + " Caddy"
}

// These values are shared by all requests. Nobody changes them in place.
var upgrade, websocket = []string{"Upgrade"}, []string{"websocket"}

// hopByHop are the fields that are not forwarded (RFC 9110 §7.6.1), the same as
// in reverse_proxy.
var hopByHop = []string{
	"Alt-Svc", "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// forwardedRequest returns the request as reverse_proxy would send it. It
// shares unchanged values with r.
func forwardedRequest(r *http.Request) *http.Request {
	h := make(http.Header, len(r.Header)+6) // about as many as are added
	maps.Copy(h, r.Header)
	for name := range connectionTokens(h) {
		h.Del(name)
	}
	trailers := httpguts.HeaderValuesContainsToken(h["Te"], "trailers")
	for _, name := range hopByHop {
		delete(h, name)
	}
	if trailers {
		h["Te"] = []string{"trailers"}
	}
	h["Connection"], h["Upgrade"] = upgrade, websocket
	if _, named := h["User-Agent"]; !named {
		h["User-Agent"] = []string{""} // otherwise net/http would add its own
	}
	addForwarded(h, r)
	h["Via"] = append(slices.Clip(h["Via"]), via(r.ProtoMajor, r.ProtoMinor))
	u := *r.URL
	u.Scheme, u.Host = "", ""
	out := r.WithContext(r.Context()) // a copy, for policies and placeholders
	out.URL, out.Header = &u, h
	out.Body, out.Trailer, out.Close = nil, nil, false
	return out
}

// addForwarded adds the X-Forwarded fields. It keeps the client's own values
// only if the client is a trusted proxy. It does not add a field that a handler
// has set to nil.
func addForwarded(h http.Header, r *http.Request) {
	trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	ip, _, _ := net.SplitHostPort(r.RemoteAddr)
	ip, _, _ = strings.Cut(ip, "%")
	proto := "http"
	if r.TLS != nil {
		proto = "https"
	}
	values := [...]string{ip, proto, r.Host}
	for i, name := range [...]string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"} {
		before, set := h[name]
		if set && before == nil {
			continue
		}
		if n := len(before); trusted && n > 0 {
			if all := strings.Join(before, ", "); i == 0 && all != "" {
				values[i] = all + ", " + ip
			} else if i > 0 && before[n-1] != "" {
				values[i] = before[n-1]
			}
		}
		h[name] = values[i : i+1 : i+1]
	}
}

// websocketNames pairs net/http's spelling of each field with that of RFC 6455,
// which some servers require.
var websocketNames = [][2]string{
	{"Sec-Websocket-Accept", "Sec-WebSocket-Accept"}, {"Sec-Websocket-Extensions", "Sec-WebSocket-Extensions"}, {"Sec-Websocket-Key", keyHeader},
	{"Sec-Websocket-Protocol", "Sec-WebSocket-Protocol"}, {"Sec-Websocket-Version", "Sec-WebSocket-Version"},
}

// spellAsRFC changes WebSocket's fields to the spelling of RFC 6455.
func spellAsRFC(h http.Header) {
	for _, n := range websocketNames {
		if v, ok := h[n[0]]; ok {
			delete(h, n[0])
			h[n[1]] = v
		}
	}
}

// forwardHints returns a function that passes answers before the final one to
// the client.
func forwardHints(w http.ResponseWriter) func(int, http.Header) error {
	return func(code int, header http.Header) error {
		h := w.Header()
		own := h.Clone()
		for name := range connectionTokens(header) {
			header.Del(name)
		}
		for name, values := range header {
			if !slices.Contains(hopByHop, name) {
				h[name] = append(h[name], values...)
			}
		}
		w.WriteHeader(code)
		clear(h)
		for name, values := range own {
			h[name] = values
		}
		return nil
	}
}

// placeholder returns the values of reverse_proxy's placeholders.
func (a *attempt) placeholder(key string) (any, bool) {
	key, ours := strings.CutPrefix(key, "http.reverse_proxy.")
	if !ours {
		return nil, false
	}
	at := a.chosen
	switch key {
	case "upstream.address":
		return at.String(), true
	case "upstream.hostport":
		return at.Address, true
	case "upstream.host":
		return at.Host, true
	case "upstream.port":
		return at.Port, true
	case "upstream.requests":
		return at.Upstream.NumRequests(), true
	case "upstream.max_requests":
		return at.Upstream.MaxRequests, true
	case "upstream.fails":
		return at.Upstream.Fails(), true
	}
	if a.accepted == nil {
		return nil, false
	}
	switch key {
	case "upstream.latency", "duration":
		return a.latency, true
	case "upstream.latency_ms", "duration_ms":
		return a.latency.Seconds() * 1e3, true
	case "retries":
		return 0, true
	case "status_code":
		return http.StatusSwitchingProtocols, true
	case "status_text":
		return "101 Switching Protocols", true
	}
	if name, header := strings.CutPrefix(key, "header."); header {
		values, ok := a.answered.Header[http.CanonicalHeaderKey(name)]
		return strings.Join(values, ","), ok
	}
	return nil, false
}

// retrySelector is a selection policy for all attempts of a handshake. The
// first selection is that of the short way, if that was tried. Before each
// further attempt it waits. reverse_proxy would wait its whole interval, even
// when the time is over, the client is gone, or the process is about to exit.
type retrySelector struct {
	reverseproxy.Selector
	interval time.Duration
}

// Select returns the upstream of the short way if reverse_proxy has to handle
// its outcome, else the policy's choice. If the attempt already has a 101,
// retry_match has rejected it, and Select drops it.
func (p retrySelector) Select(pool reverseproxy.UpstreamPool, r *http.Request, w http.ResponseWriter) *reverseproxy.Upstream {
	a, ok := r.Context().Value(attemptKey{}).(*attempt)
	if !ok {
		return p.Selector.Select(pool, r, w)
	}
	if a.selections++; a.selections > 1 && p.interval > 0 {
		pause := time.NewTimer(p.interval)
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-r.Context().Done():
		}
	}
	switch {
	case a.first != nil:
		return a.first.upstream
	case r.Context().Err() != nil:
		return noUpstream()
	}
	a.dropAccepted()
	return p.Selector.Select(pool, r, w)
}

// noUpstream returns an upstream to select when there is no time for another
// attempt: the tap then returns an error that makes reverse_proxy stop.
func noUpstream() *reverseproxy.Upstream {
	return &reverseproxy.Upstream{Dial: "127.0.0.1:1", Host: new(reverseproxy.Host)}
}

// timedSource is a source of upstreams that waits no longer than the
// handshake's time, because a lookup may ignore its context.
type timedSource struct{ reverseproxy.UpstreamSource }

// GetUpstreams returns none if the time is over.
func (s timedSource) GetUpstreams(r *http.Request) ([]*reverseproxy.Upstream, error) {
	type result struct {
		upstreams []*reverseproxy.Upstream
		err       error
	}
	found := make(chan result, 1)
	go func() {
		upstreams, err := s.UpstreamSource.GetUpstreams(r)
		found <- result{upstreams, err}
	}()
	select {
	case f := <-found:
		return f.upstreams, f.err
	case <-r.Context().Done():
		return nil, nil
	}
}

// ResetCache calls the source's own ResetCache, if it has one.
func (s timedSource) ResetCache(r *http.Request) error {
	if c, ok := s.UpstreamSource.(reverseproxy.CachingUpstreamSource); ok {
		return c.ResetCache(r)
	}
	return nil
}
