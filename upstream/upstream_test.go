package upstream

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

func TestAddresses(t *testing.T) {
	for in, want := range map[string]Address{
		"ws://h":                      {Dial: "h:80"},
		"WS://h:8080":                 {Dial: "h:8080"},
		"wss://h":                     {Dial: "h:443", Secure: true},
		"wss://h:8443/":               {Dial: "h:8443", Secure: true, Path: "/", HasPath: true},
		"ws://h/a%2Fb":                {Dial: "h:80", Path: "/a%2Fb", HasPath: true},
		"ws://[::1]:9000/x":           {Dial: "[::1]:9000", Path: "/x", HasPath: true},
		"ws://[::1]":                  {Dial: "[::1]:80"},
		"ws://h:80/{re.ws.1}":         {Dial: "h:80", Path: "/{re.ws.1}", HasPath: true},
		"ws://h:8000-8003":            {Dial: "h:8000-8003"},
		"h:9000":                      {Dial: "h:9000"},
		"h":                           {Dial: "h:80"},
		"unix//run/chat.sock":         {Dial: "unix//run/chat.sock"},
		"ws://[fe80::1%eth0]:90":      {Dial: "[fe80::1%eth0]:90"},
		"ws://[fe80::1%25eth0]":       {Dial: "[fe80::1%eth0]:80"},
		"[fe80::1%eth0]:90":           {Dial: "[fe80::1%eth0]:90"},
		"ws://chat_1.internal.":       {Dial: "chat_1.internal.:80"},
		"ws://_chat._tcp.x-y--z":      {Dial: "_chat._tcp.x-y--z:80"},
		"wss://xn--bcher-kva.example": {Dial: "xn--bcher-kva.example:443", Secure: true},
		"ws://bücher.例え.例え:9":         {Dial: "bücher.例え.例え:9"},
		"ws://127.0.0.1":              {Dial: "127.0.0.1:80"},
		"ws://8080":                   {Dial: "8080:80"},
		"ws://3com.example":           {Dial: "3com.example:80"},
		"{env.HOST}:{env.PORT}":       {Dial: "{env.HOST}:{env.PORT}"},
		"unix//xinu":                  {Dial: "unix//xinu"},
		"{env.BACKEND}":               {Dial: "{env.BACKEND}"},
	} {
		if got, err := ParseAddress(in); err != nil || got != want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
}

func TestImpossibleAddressesAreRefused(t *testing.T) {
	for in, want := range map[string]string{
		"": "empty", "http://h": "want ws://", "https://h": "want wss://", "ftp://h": "unknown scheme", "ws://": "no host", "ws://h:0": "1 to 65535",
		"ws://h:99999": "1 to 65535", "ws://h:x": "1 to 65535", "ws://h:+80": "1 to 65535", "ws://h:9-8": "ends before it begins", "ws://h:1-9999": "more than 1000",
		"ws://h/?a=b": "a query", "ws://h/#f": "a fragment", "ws://u:p@h": "no user or password", "ws://{host}": "must be constant", "ws://a:b:c": "",
		"ws://h//x": "double slash", "ws://h/{x}//": "double slash", "ws://[::zz]": "no IPv6", "/ws": "no host", "h/path": "needs its scheme", "tcphost:80/ws": "needs its scheme",
		"unix/": "no socket", "unix+h2c//s": "h2c", "localhost:0": "1 to 65535", "ws://h/%zz": "path", "ws://h%20x": "'%' has no place", "ws://a,b": "several upstreams stand apart",
		"a,b:80": "several upstreams", "ws://h\\x": "has no place", "ws://-h": "begins with a letter", "ws://a.-h": "begins with", "ws://a..b": "begins with", "ws://.": "begins with",
		"ws://h x": "' ' has no place", "ws://h\u00a0x": "has no place", "ws://h\xff": "has no place", "ws://h\x00": "has no place", "ws://h;x": "has no place", "-h:80": "begins with",
		"ws://1.2.3.256": "no IPv4", "ws://1.2.3": "no IPv4", "ws://[1.2.3.4]": "no IPv6", "ws://[fe80::1%]": "no IPv6", "{env.HOST": "without its other",
		"ws://h/{": "'{' without its '}'", "ws://h/}": "'}' without its '{'", "ws://h/a/../b": "a segment . or .. in it",
		"ws://h/%2e%2E": "a segment", "ws://h/.{x}/./": "a segment", "ws://h/%{x}": "invalid URL escape",
	} {
		if got, err := ParseAddress(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v, want %q", in, got, err, want)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, seed := range []string{"ws://h:80/p", "wss://[::1]", "unix//s", "h:1-2", "{x}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err == nil && (a.Dial == "" || a.HasPath && !strings.HasPrefix(a.Path, "/") || strings.Contains(a.Path, "//") && !strings.Contains(a.Path, "{")) {
			t.Errorf("%q: %+v", s, a)
		}
	})
}

// pool returns upstreams that are up.
func pool(dials ...string) reverseproxy.UpstreamPool {
	var p reverseproxy.UpstreamPool
	for _, d := range dials {
		p = append(p, &reverseproxy.Upstream{Dial: d, Host: new(reverseproxy.Host)})
	}
	return p
}

func TestLeastConnCountsOpenTunnels(t *testing.T) {
	p := pool("t-least-a:1", "t-least-b:1")
	s := countTunnels(new(reverseproxy.LeastConnSelection))
	r, _ := asked("/")
	var release []func()
	for range 6 {
		u := s.Select(p, r, nil)
		release = append(release, addLoad(u.Dial))
	}
	if a, b := load(p[0]), load(p[1]); a != 3 || b != 3 {
		t.Errorf("six tunnels went %d to %d", a, b)
	}
	for _, f := range release {
		f()
	}
	if load(p[0]) != 0 || load(p[1]) != 0 {
		t.Error("tunnels that ended are still counted")
	}
}

func TestFullUpstreamsAreLeftOut(t *testing.T) {
	r, _ := asked("/")
	for name, inner := range map[string]reverseproxy.Selector{
		"first": new(reverseproxy.FirstSelection), "round_robin": new(reverseproxy.RoundRobinSelection), "least_conn": new(reverseproxy.LeastConnSelection),
		"random_choose": &reverseproxy.RandomChoiceSelection{Choose: 2}, "random": reverseproxy.RandomSelection{},
	} {
		p := pool("t-full-"+name+"-a:1", "t-full-"+name+"-b:1")
		p[0].MaxRequests = 1
		release := addLoad(p[0].Dial)
		s := countTunnels(inner)
		for range 10 {
			if u := s.Select(p, r, nil); u != p[1] {
				t.Errorf("%s chose %v", name, u)
			}
		}
		p[1].MaxRequests = 1
		other := addLoad(p[1].Dial)
		if u := s.Select(p, r, nil); u != nil {
			t.Errorf("%s chose %v of two that are full", name, u)
		}
		release()
		other()
	}
}

func TestWeightsKeepTheirPlaces(t *testing.T) {
	r, _ := asked("/")
	w := &reverseproxy.WeightedRoundRobinSelection{Weights: []int{1, 2, 3}}
	if err := w.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	p := pool("t-weight-a:1", "t-weight-b:1", "t-weight-c:1")
	p[0].MaxRequests = 1
	defer addLoad(p[0].Dial)()
	chosen := map[string]int{}
	s := countTunnels(w)
	for range 60 {
		chosen[s.Select(p, r, nil).Dial]++
	}
	if chosen["t-weight-a:1"] != 0 || chosen["t-weight-c:1"] <= chosen["t-weight-b:1"] {
		t.Errorf("chosen %v", chosen)
	}
}

func TestHandleResponseNeverSeesOur101(t *testing.T) {
	h := &reverseproxy.Handler{HandleResponse: []caddyhttp.ResponseHandler{{}, {Match: &caddyhttp.ResponseMatcher{StatusCode: []int{4}}}}}
	if err := exclude101(h); err != nil {
		t.Fatal(err)
	}
	for i, rh := range h.HandleResponse {
		if rh.Match.Match(101, nil) || !rh.Match.Match(404, nil) {
			t.Errorf("handler %d: %+v", i, rh.Match)
		}
	}
	for name, rh := range map[string]caddyhttp.ResponseHandler{
		"the 101 by number": {Match: &caddyhttp.ResponseMatcher{StatusCode: []int{101}}},
		"the 101 by class":  {Match: &caddyhttp.ResponseMatcher{StatusCode: []int{1}}},
		"replace_status":    {StatusCode: "200"},
	} {
		if err := exclude101(&reverseproxy.Handler{HandleResponse: []caddyhttp.ResponseHandler{rh}}); err == nil {
			t.Errorf("%s is allowed", name)
		}
	}
}

func TestTransportsThatCannotCarryAnUpgradeAreRefused(t *testing.T) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	for raw, want := range map[string]string{
		`{"protocol":"fastcgi"}`:                     "fastcgi",
		`{"protocol":"http","versions":["2"]}`:       "add 1.1",
		`{"protocol":"http","versions":["h2c","2"]}`: "add 1.1",
		`{"protocol":"no_such_transport"}`:           "loading transport",
		`{`:                                          "decoding transport",
	} {
		if _, err := loadTransport(ctx, &reverseproxy.Handler{TransportRaw: json.RawMessage(raw)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", raw, err)
		}
	}
	tp, err := loadTransport(ctx, &reverseproxy.Handler{})
	if err != nil {
		t.Fatal(err)
	}
	if inner := tp.inner.(*reverseproxy.HTTPTransport).Transport; !inner.DisableCompression {
		t.Error("the transport would add its own Accept-Encoding")
	}
}

func TestCleanupOfWhatWasNeverProvisionedDoesNothing(t *testing.T) {
	e := New(Config{Proxy: &reverseproxy.Handler{TransportRaw: json.RawMessage(`{"protocol":"fastcgi"}`)}})
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	if err := e.Provision(ctx); err == nil {
		t.Fatal("fastcgi is allowed")
	}
	if err := e.Cleanup(); err != nil {
		t.Error(err)
	}
}

func TestCaddyKeepsTheLoggerWhereWeReachIt(t *testing.T) {
	if err := quietLogs(new(reverseproxy.Handler), false); err != nil {
		t.Error(err)
	}
}

func TestReadTimeoutBecomesTheAnswers(t *testing.T) {
	for in, want := range map[string]string{
		`{"read_timeout":1,"write_timeout":2}`:               `{"response_header_timeout":1}`,
		`{"read_timeout":1,"response_header_timeout":3}`:     `{"response_header_timeout":3}`,
		`{"response_header_timeout":3,"dial_timeout":4}`:     `{"dial_timeout":4,"response_header_timeout":3}`,
		`{"protocol":"http","compression":false,"tls":null}`: `{"compression":false,"protocol":"http","tls":null}`,
	} {
		config := map[string]json.RawMessage{}
		if err := json.Unmarshal([]byte(in), &config); err != nil {
			t.Fatal(err)
		}
		limitToAnswer(config)
		if got, _ := json.Marshal(config); string(got) != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}
