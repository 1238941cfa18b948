package matchers

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/wsgate/wsgate/internal/registry"
)

// request returns a request that Caddy has prepared.
func request(t testing.TB, upgrade bool) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/ws/", nil)
	if upgrade {
		r.Header.Set("Upgrade", "websocket")
	}
	return caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), nil)
}

func flagLine(t *testing.T, line string) *EnvFlag {
	t.Helper()
	m := new(EnvFlag)
	if err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(line)); err != nil {
		t.Fatal(err)
	}
	return m
}

func setFlag(t *testing.T, name, value string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // there is no storage here to wait for
	if _, err := registry.SetFlag(ctx, name, value, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		_, _ = registry.DeleteFlag(gone, name, "")
	})
}

func TestFlagOfTheRequestGoesBeforeTheLiveOneBeforeTheProcess(t *testing.T) {
	const name = "WSGATE_TEST_ORDER"
	m := flagLine(t, "env_flag "+name+" right")
	if err := os.Unsetenv(name); err != nil {
		t.Fatal(err)
	}
	if m.Match(request(t, false)) {
		t.Error("unset, and it matches")
	}
	t.Setenv(name, "right")
	if !m.Match(request(t, false)) {
		t.Error("the environment's value is not seen")
	}
	setFlag(t, name, "wrong")
	if holds, _, _ := m.Eval(time.Now()); holds || m.Match(request(t, false)) {
		t.Error("the live flag does not go before the environment")
	}
	r := request(t, false)
	caddyhttp.SetVar(r.Context(), name, "right")
	if !m.Match(r) {
		t.Error("the request's variable does not go before the live flag")
	}
	caddyhttp.SetVar(r.Context(), name, 7)
	if m.Match(r) || !flagLine(t, "env_flag "+name+" 7").Match(r) {
		t.Error("a variable that is no string is not compared as text")
	}
}

func TestFlagWithoutAValueIsSetOrNot(t *testing.T) {
	const name = "WSGATE_TEST_TRUTH"
	m := flagLine(t, "env_flag "+name)
	for value, want := range map[string]bool{
		"1": true, "yes": true, "anything": true, "": false, "0": false, "false": false, "FALSE": false, "off": false, "No": false, " ": true,
	} {
		t.Setenv(name, value)
		if m.Match(request(t, false)) != want {
			t.Errorf("%q: matches %v", value, !want)
		}
	}
}

func TestSeveralFlagsMustAllHold(t *testing.T) {
	m := flagLine(t, "env_flag WSGATE_TEST_A 1\nenv_flag WSGATE_TEST_B")
	t.Setenv("WSGATE_TEST_A", "1")
	if m.Match(request(t, false)) {
		t.Error("one is enough")
	}
	t.Setenv("WSGATE_TEST_B", "on")
	if holds, _, err := m.Eval(time.Now()); !holds || err != nil {
		t.Errorf("both are set: %v, %v", holds, err)
	}
}

func TestFlagSaysWhenItChanges(t *testing.T) {
	const name = "WSGATE_TEST_NOTIFY"
	told := make(chan struct{}, 8)
	stop := flagLine(t, "env_flag "+name).Notify(func() { told <- struct{}{} })
	setFlag(t, name, "1")
	setFlag(t, name, "1") // the same value again is no change
	if n := len(told); n != 1 {
		t.Errorf("told %d times, want once", n)
	}
	stop()
	setFlag(t, name, "2")
	if n := len(told); n != 1 {
		t.Error("told after stop")
	}
}

func TestPromise10StatusShowsNoValueOfTheEnvironment(t *testing.T) {
	const name = "WSGATE_TEST_SECRET"
	t.Setenv(name, "s3cret")
	for key, value := range flagLine(t, "env_flag "+name).Describe(time.Now()) {
		if text, _ := value.(string); strings.Contains(text, "s3cret") {
			t.Errorf("%s shows the value", key)
		}
	}
}

func TestHandshakesOfAllVersionsMatch(t *testing.T) {
	m := new(WSHandshake)
	if m.Match(request(t, false)) || !m.Match(request(t, true)) {
		t.Error("HTTP/1.1")
	}
	h2 := httptest.NewRequest(http.MethodConnect, "https://example.com/ws/", nil)
	h2.ProtoMajor, h2.Proto = 2, "HTTP/2.0"
	h2.Header[":protocol"] = []string{"websocket"}
	h3 := httptest.NewRequest(http.MethodConnect, "https://example.com/ws/", nil)
	h3.ProtoMajor, h3.Proto = 3, "websocket"
	for _, r := range []*http.Request{h2, h3} {
		if !m.Match(r) {
			t.Errorf("HTTP/%d", r.ProtoMajor)
		}
	}
}

func TestExpressions(t *testing.T) {
	t.Setenv("WSGATE_TEST_CEL", "1")
	tests := map[string]bool{
		`time_window("00:00-24:00")`:                           true,
		`time_window("00:00-24:00", "daily", "UTC")`:           true,
		`!time_window("00:00-24:00", "mon-sun", "Asia/Tokyo")`: false,
		`env_flag("WSGATE_TEST_CEL")`:                          true,
		`env_flag("WSGATE_TEST_CEL", "1")`:                     true,
		`env_flag("WSGATE_TEST_CEL", "2")`:                     false,
		`ws_handshake()`:                                       true,
		`ws_handshake() && path("/ws/*") && method("GET")`:     true,
		`ws_handshake() && {http.request.method} == "POST"`:    false,
		`!ws_handshake() || env_flag("WSGATE_TEST_CEL", "1")`:  true,
	}
	for text, want := range tests {
		t.Run(text, func(t *testing.T) {
			m := &caddyhttp.MatchExpression{Expr: text}
			if err := provision(t, m); err != nil {
				t.Fatal(err)
			}
			if got, err := m.MatchWithError(request(t, true)); err != nil || got != want {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

func TestWrongExpressionsAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		`time_window("9:00-18:00")`:                                            "want 09:00-18:00",
		`time_window("09:00-18:00", "UTC", "Asia/Tokyo")`:                      "the zone is",
		`time_window("mon-fri", "09:00-18:00")`:                                "want 09:00-18:00 mon-fri",
		`time_window("09:00-18:00", "mon-fri", "10:00-14:00", "sat")`:          "want a block with the lines `09:00-18:00 mon-fri`",
		`time_window("09:00-18:00", "mon-fri", "europe/berlin")`:               "want Europe/Berlin",
		`time_window("09:00-18:00", "mon-fri", "Asia/Tokio")`:                  "did you mean Asia/Tokyo?",
		`time_window("09:00-18:00", "mon-fri", "except", "2026-12-24", "UTC")`: "want 09:00-18:00 mon-fri UTC except 2026-12-24",
		`env_flag("")`:            "flag name",
		`env_flag("A", "1", "2")`: "want one value",
		`ws_handshake("x")`:       "ws_handshake",
	} {
		t.Run(text, func(t *testing.T) {
			if err := provision(t, &caddyhttp.MatchExpression{Expr: text}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}

func provision(t *testing.T, m *caddyhttp.MatchExpression) error {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	return m.Provision(ctx)
}

func alwaysOpen(t testing.TB) *TimeWindow {
	t.Helper()
	m := new(TimeWindow)
	if err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser("time_window 00:00-12:00 12:00-24:00 mon-fri sat,sun Asia/Tokyo")); err != nil {
		t.Fatal(err)
	}
	if err := m.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestStatusNamesTheServersOwnZoneAsTheConfigurationDoes(t *testing.T) {
	m := alwaysOpen(t)
	m.zones[0] = time.Local
	if zone := m.Describe(time.Now())["zone"]; zone != "local" {
		t.Errorf("got %v", zone)
	}
}

func TestMatchingAllocatesNothing(t *testing.T) {
	t.Setenv("WSGATE_TEST_ALLOC", "1")
	w, f, h, r := alwaysOpen(t), flagLine(t, "env_flag WSGATE_TEST_ALLOC 1"), new(WSHandshake), request(t, true)
	setFlag(t, "WSGATE_TEST_ALLOC", "1")
	w.Match(r)
	for name, match := range map[string]func(*http.Request) bool{"time_window": w.Match, "env_flag": f.Match, "ws_handshake": h.Match} {
		if n := testing.AllocsPerRun(100, func() { match(r) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkTimeWindow(b *testing.B) {
	m, r := alwaysOpen(b), request(b, true)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Match(r)
		}
	})
}

func BenchmarkEnvFlag(b *testing.B) {
	m := &EnvFlag{Flags: []FlagTest{{Name: "WSGATE_TEST_BENCH", Value: "1"}}}
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	if _, err := registry.SetFlag(ctx, "WSGATE_TEST_BENCH", "1", ""); err != nil {
		b.Fatal(err)
	}
	r := request(b, true)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Match(r)
		}
	})
}
