package admin

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/registry"
	"github.com/wsgate/wsgate/internal/testadmin"
	"github.com/wsgate/wsgate/internal/wire"
)

// newRequest returns a request that comes over TCP.
func newRequest(t *testing.T, method, path, body string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.RemoteAddr = "192.0.2.7:4711"
	return r
}

// serve answers a request with the routes, without Caddy's own handlers.
func serve(r *http.Request) (w *httptest.ResponseRecorder, err error) {
	w = httptest.NewRecorder()
	mux := http.NewServeMux()
	for _, route := range new(API).Routes() {
		mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) { err = route.Handler.ServeHTTP(w, r) })
	}
	mux.ServeHTTP(w, r)
	return w, err
}

// clockRule is a rule that shows something in the status.
type clockRule struct{ next time.Time }

func (r clockRule) Eval(time.Time) (bool, time.Time, error) { return true, r.next, nil }
func (r clockRule) Describe(time.Time) map[string]any {
	return map[string]any{"zone": "Asia/Tokyo", "holds": "cannot be replaced"}
}

// brokenRule is a rule that cannot be read.
type brokenRule struct{}

func (brokenRule) Eval(time.Time) (bool, time.Time, error) {
	return false, time.Time{}, errors.New("no such file")
}

func TestAGateShowsWhatTheDesignSays(t *testing.T) {
	next := time.Now().Add(time.Hour).Truncate(time.Second)
	testadmin.Gates(t, map[string]gate.Policy{"shape": {OpenWhen: []gate.Condition{{Name: "time_window", Rule: clockRule{next}}}}})
	call(t, "POST", "/wsgate/gates/shape", `{"mode":"off","reason":"db <migration>","actor":"ana","ttl":"30m"}`)
	a := call(t, "GET", "/wsgate/gates/shape", "")
	m := decode[map[string]any](t, a)

	since, _ := time.Parse(time.RFC3339, m["since"].(string))
	until, _ := time.Parse(time.RFC3339, m["until"].(string))
	if d := until.Sub(since); d < 29*time.Minute || d > 31*time.Minute {
		t.Errorf("since %v until %v", m["since"], m["until"])
	}
	o := m["override"].(map[string]any)
	if o["expires"] != m["until"] || !strings.HasSuffix(o["at"].(string), "Z") {
		t.Errorf("override %v", o)
	}
	delete(o, "at")
	delete(o, "expires")
	delete(m, "since")
	delete(m, "until")
	want := map[string]any{
		"name": "shape", "mode": "off", "state": "closed", "cause": "override", "reason": "db <migration>",
		"tunnels": 0.0, "stored": true,
		"override": map[string]any{"mode": "off", "reason": "db <migration>", "actor": "ana", "from": "unix"},
		"rules": []any{
			map[string]any{"rule": "time_window", "holds": true, "zone": "Asia/Tokyo", "next_change": next.UTC().Format(time.RFC3339)},
		},
		"totals": map[string]any{
			"accepted": 0.0, "refused": 0.0, "bytes_up": 0.0, "bytes_down": 0.0, "messages_up": 0.0, "messages_down": 0.0,
		},
		"upstreams": []any{}, "refused": map[string]any{},
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got  %v\nwant %v", m, want)
	}
	if !strings.Contains(a.body, "<migration>") {
		t.Errorf("the reason is not readable: %s", a.body)
	}
	if list := decode[[]wire.Gate](t, call(t, "GET", "/wsgate/gates", "")); len(list) != 1 || list[0].Name != "shape" {
		t.Errorf("the list has %+v", list)
	}
}

func TestARuleThatCannotBeReadIsAProblemOfItsGate(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{"broken": {OpenWhen: []gate.Condition{{Name: "file", Not: true, Rule: brokenRule{}}}}})
	m := decode[map[string]any](t, call(t, "GET", "/wsgate/gates/broken", ""))
	rules := []any{map[string]any{"rule": "file", "not": true, "holds": false, "error": "no such file"}}
	problems := []any{"file cannot be read: no such file"}
	if !reflect.DeepEqual(m["rules"], rules) || !reflect.DeepEqual(m["problems"], problems) {
		t.Errorf("rules %v, problems %v", m["rules"], m["problems"])
	}
	if _, has := m["until"]; has || m["override"] != nil {
		t.Errorf("what is not known is there: %v", m)
	}
}

func TestNoGateIsAnEmptyArray(t *testing.T) {
	if a := call(t, "GET", "/wsgate/gates", ""); a.status != http.StatusOK || strings.TrimSpace(a.body) != "[]" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestTheSwitchTurnsAndTurnsBack(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{"turn": {}})
	const path = "/wsgate/gates/turn"
	off := decode[wire.Switched](t, call(t, "POST", path, `{"mode":"off"}`))
	if off.State != gate.Closed || off.Mode != gate.Off || off.Override == nil || !off.Stored {
		t.Errorf("off: %+v", off)
	}
	again := decode[wire.Switched](t, call(t, "POST", path, `{"mode":"off"}`))
	if again.Since != off.Since || again.Override.At != off.Override.At {
		t.Errorf("the same word again has changed the gate: %+v", again)
	}
	on := decode[wire.Switched](t, call(t, "POST", path, `{"mode":"on"}`))
	if on.State != gate.Open || on.Mode != gate.On {
		t.Errorf("on: %+v", on)
	}
	auto := decode[wire.Switched](t, call(t, "POST", path, `{"mode":"auto"}`))
	if auto.State != gate.Open || auto.Mode != gate.Auto || auto.Override != nil || auto.Cause != gate.CauseConfig {
		t.Errorf("auto: %+v", auto)
	}
}

func TestTheSwitchCarriesItsOwnClosing(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{"own": {}})
	tests := []struct {
		name, sent string
		want       wire.Closing
	}{
		{"keep", `{"policy":"keep"}`, wire.Closing{Policy: "keep"}},
		{"drain alone is 30 seconds", `{"policy":"drain"}`, wire.Closing{Policy: "drain", Deadline: "30s"}},
		{"in full", `{"policy":"drain","deadline":"60s","code":1012,"reason":"back at nine"}`, wire.Closing{Policy: "drain", Deadline: "1m", Code: 1012, Reason: "back at nine"}},
		{"at once", `{"policy":"drain","deadline":"0s","code":4999}`, wire.Closing{Policy: "drain", Deadline: "0s", Code: 4999}},
		{"a day", `{"policy":"drain","deadline":"1d"}`, wire.Closing{Policy: "drain", Deadline: "24h"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := decode[wire.Switched](t, call(t, "POST", "/wsgate/gates/own", `{"mode":"off","closing":`+tt.sent+`}`))
			if g.Override == nil || g.Override.Closing == nil || *g.Override.Closing != tt.want {
				t.Errorf("override %+v", g.Override)
			}
		})
	}
}

func TestADrainIsShownWhileItRuns(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{"draining": {}})
	testadmin.OpenTunnels(t, "draining", 3)
	g := decode[wire.Switched](t, call(t, "POST", "/wsgate/gates/draining", `{"mode":"off","reason":"bye","closing":{"policy":"drain","deadline":"1h","code":1012}}`))
	if g.State != gate.Draining || g.Tunnels != 3 || g.Drain == nil {
		t.Fatalf("%+v", g)
	}
	if g.Drain.Told != 3 || g.Drain.Gone != 0 || g.Drain.Left != 3 || g.Drain.Code != 1012 || g.Drain.Reason != "bye" || time.Until(g.Drain.Deadline) < 59*time.Minute {
		t.Errorf("drain %+v", g.Drain)
	}
}

func TestTheSecondOperatorIsToldToLookAgain(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{"etag": {}})
	const path = "/wsgate/gates/etag"
	first := call(t, "GET", path, "").header.Get("ETag")
	if len(first) < 3 || first[0] != '"' {
		t.Fatalf("ETag %q", first)
	}
	a := call(t, "POST", path, `{"mode":"off"}`, "If-Match: "+first)
	if a.status != http.StatusOK || a.header.Get("ETag") == first {
		t.Fatalf("%d, ETag %s after %s", a.status, a.header.Get("ETag"), first)
	}
	newest := a.header.Get("ETag")
	tests := []struct {
		name, ifMatch string
		status        int
	}{
		{"the tag of before", first, 412},
		{"a tag of nothing", `"x"`, 412},
		{"no tag at all", "off", 412},
		{"weak", "W/" + newest, 412},
		{"the newest", newest, 200},
		{"a list with it", `"x", ` + newest, 200},
		{"a list without it", `"x", ` + first, 412},
		{"anything", "*", 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := call(t, "POST", path, `{"mode":"off"}`, "If-Match: "+tt.ifMatch)
			if a.status != tt.status {
				t.Errorf("status %d, want %d: %s", a.status, tt.status, a.body)
			}
		})
	}
	r := newRequest(t, "POST", path, `{"mode":"on"}`)
	r.Header["If-Match"] = []string{""}
	if _, err := serve(r); statusOf(err) != http.StatusPreconditionFailed {
		t.Errorf("a blank If-Match: %v", err)
	}
}

func statusOf(err error) int {
	var e caddy.APIError
	if errors.As(err, &e) {
		return e.HTTPStatus
	}
	return 0
}

func TestReadingChangesNothing(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{"read": {}})
	before := call(t, "GET", "/wsgate/gates/read", "")
	head := call(t, "HEAD", "/wsgate/gates/read", "")
	if head.status != http.StatusOK || head.body != "" || head.header.Get("ETag") != before.header.Get("ETag") {
		t.Errorf("HEAD: %+v", head)
	}
	if after := call(t, "GET", "/wsgate/gates/read", ""); after.body != before.body {
		t.Errorf("%s is now %s", before.body, after.body)
	}
}

func TestASwitchThatIsNotStoredSaysSo(t *testing.T) {
	mem := testadmin.Gates(t, map[string]gate.Policy{"unstored": {}})
	mem.BreakDown(true)
	t.Cleanup(func() { mem.BreakDown(false) })
	r := newRequest(t, "POST", "/wsgate/gates/unstored", `{"mode":"off"}`)
	ctx, cancel := context.WithCancel(r.Context())
	cancel() // the operator does not wait for the 5 seconds
	w, err := serve(r.WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	g := decode[wire.Switched](t, answer{status: w.Code, body: w.Body.String()})
	if g.State != gate.Closed || g.Stored || len(g.Problems) == 0 {
		t.Errorf("%+v", g)
	}
}

func TestFromIsAnAddressWithoutItsPort(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:4711":      "192.0.2.7",
		"[2001:db8::1]:4711":  "2001:db8::1",
		"[fe80::1%eth0]:4711": "fe80::1%eth0",
		"@":                   "unix",
		"":                    "unix",
	} {
		if got := callerAddress(&http.Request{RemoteAddr: remote}); got != want {
			t.Errorf("from %q: %q, want %q", remote, got, want)
		}
	}
}

// Caddy makes a metric label of each pattern, and its mux panics if two
// conflict.
func TestRoutesAreStaticAndDoNotConflict(t *testing.T) {
	mux := http.NewServeMux()
	for _, route := range new(API).Routes() {
		mux.HandleFunc(route.Pattern, func(http.ResponseWriter, *http.Request) {})
	}
	if _, err := caddy.GetModule("admin.api.wsgate"); err != nil {
		t.Error(err)
	}
}

func TestASwitchByTCPSaysWhere(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{"tcp": {}})
	if _, err := serve(newRequest(t, "POST", "/wsgate/gates/tcp", `{"mode":"off","actor":"ana"}`)); err != nil {
		t.Fatal(err)
	}
	s, err := registry.StatusOf("tcp", time.Now())
	if err != nil || s.Override == nil || s.Override.From != "192.0.2.7" || s.Override.Actor != "ana" {
		t.Errorf("%+v, %v", s.Override, err)
	}
}
