package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/testadmin"
	"github.com/wsgate/wsgate/internal/wire"
)

// Every refusal must be Caddy's JSON error, and say what would be right.
func TestRefusalsSayWhatWouldBeRight(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{"refusals": {}, "refusals-too": {}})
	const g, f = "/wsgate/gates/refusals", "/wsgate/flags/REFUSED"
	tests := []struct {
		name, method, path, body string
		header                   string
		status                   int
		says                     string
	}{
		{"a call that is not there yet", "GET", "/wsgate/tunnels", "", "", 404, "no such call"},
		{"a call below a gate", "POST", g + "/revert", "{}", "", 404, "POST /wsgate/gates/{name}"},
		{"the root", "GET", "/wsgate/", "", "", 404, "there is GET /wsgate/gates"},
		{"the root without its slash", "GET", "/wsgate", "", "", 404, "there is GET /wsgate/gates"},
		{"gates with a slash", "GET", "/wsgate/gates/", "", "", 404, "there is GET /wsgate/gates"},
		{"an unknown gate", "GET", "/wsgate/gates/nosuch", "", "", 404, "unknown gate \"nosuch\": there is refusals, refusals-too"},
		{"an unknown gate, switched", "POST", "/wsgate/gates/nosuch", `{"mode":"off"}`, "", 404, "there is refusals, refusals-too"},
		{"a gate with a slash in its name", "GET", "/wsgate/gates/a%2Fb", "", "", 404, `unknown gate "a/b"`},
		{"an endless name", "GET", "/wsgate/gates/" + strings.Repeat("x", 500), "", "", 404, `xxx"…: there is`},
		{"an unknown flag", "GET", f, "", "", 404, `flag "REFUSED" is not set`},
		{"an unknown flag, deleted", "DELETE", f, "", "", 404, `flag "REFUSED" is not set`},

		{"PUT on a gate", "PUT", g, `{"mode":"off"}`, "", 405, "this path takes GET, HEAD, POST"},
		{"POST on all gates", "POST", "/wsgate/gates", "{}", "", 405, "this path takes GET, HEAD"},
		{"POST on a flag", "POST", f, `{"value":"1"}`, "", 405, "this path takes DELETE, GET, HEAD, PUT"},
		{"DELETE on all flags", "DELETE", "/wsgate/flags", "", "", 405, "this path takes GET, HEAD"},
		{"a method nobody knows", "BREW", g, "", "", 405, `method "BREW"`},

		{"dry_run", "POST", g + "?dry_run=true", `{"mode":"off"}`, "", 400, `unknown query parameter "dry_run": this call takes none`},
		{"a query on a read", "GET", "/wsgate/gates?x=s3cret", "", "", 400, `unknown query parameter "x"`},
		{"a query that is none", "GET", "/wsgate/gates?%zz", "", "", 400, "takes no query parameters"},

		{"no body", "POST", g, "", "", 400, "body: empty"},
		{"blanks", "POST", g, "  \n", "", 400, "body: empty"},
		{"not JSON", "POST", g, "mode=off", "", 400, "not JSON"},
		{"cut short", "POST", g, `{"mode":"off"`, "", 400, "not JSON"},
		{"garbage behind", "POST", g, `{"mode":"off"} {}`, "", 400, "not JSON"},
		{"an array", "POST", g, `[]`, "", 400, "want an object with mode, reason"},
		{"null", "POST", g, `null`, "", 400, "want an object"},
		{"bad UTF-8", "POST", g, "{\"mode\":\"off\",\"reason\":\"\xff\"}", "", 400, "not valid UTF-8"},
		{"an unknown field", "POST", g, `{"mode":"off","why":"x"}`, "", 400, `unknown field "why": want mode, reason, actor, ttl, closing`},
		{"on_close, as it was called", "POST", g, `{"mode":"off","on_close":{"policy":"keep"}}`, "", 400, `field "on_close" is called "closing" now`},
		{"another spelling", "POST", g, `{"Mode":"off"}`, "", 400, `unknown field "Mode"`},
		{"a field twice", "POST", g, `{"mode":"off","mode":"on"}`, "", 400, `field "mode" occurs twice`},
		{"too deep", "POST", g, `{"mode":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, "", 400, "not JSON"},

		{"no mode", "POST", g, `{"reason":"x"}`, "", 400, "mode: missing: want auto, on or off"},
		{"an unknown mode", "POST", g, `{"mode":"OFF"}`, "", 400, `mode: "OFF": want auto, on or off`},
		{"a number for a mode", "POST", g, `{"mode":0}`, "", 400, "mode: want a string"},
		{"null for a mode", "POST", g, `{"mode":null}`, "", 400, "mode: want a string"},
		{"a list for a reason", "POST", g, `{"mode":"off","reason":["x"]}`, "", 400, "reason: want a string"},
		{"a long reason", "POST", g, `{"mode":"off","reason":"` + strings.Repeat("x", 513) + `"}`, "", 400, "reason: 513 bytes: want at most 512"},
		{"control characters", "POST", g, `{"mode":"off","reason":"a\nb"}`, "", 400, "reason: control characters"},
		{"a long actor", "POST", g, `{"mode":"off","actor":"` + strings.Repeat("x", 129) + `"}`, "", 400, "actor: 129 bytes"},

		{"a number for a ttl", "POST", g, `{"mode":"off","ttl":60}`, "", 400, `ttl: want a duration in double quotes, such as "90s"`},
		{"no unit", "POST", g, `{"mode":"off","ttl":"60"}`, "", 400, `ttl: "60": want a duration`},
		{"an empty ttl", "POST", g, `{"mode":"off","ttl":""}`, "", 400, `ttl: "": want a duration`},
		{"no time at all", "POST", g, `{"mode":"off","ttl":"0s"}`, "", 400, `ttl: 0s: want 1s to 8760h, or "never"`},
		{"back in time", "POST", g, `{"mode":"off","ttl":"-5s"}`, "", 400, "ttl: -5s: want 1s to 8760h"},
		{"a thousand years", "POST", g, `{"mode":"off","ttl":"90000h"}`, "", 400, "want 1s to 8760h"},
		{"more than time itself", "POST", g, `{"mode":"off","ttl":"99999999999999h"}`, "", 400, "want a duration"},
		{"never, spelled otherwise", "POST", g, `{"mode":"off","ttl":"Never"}`, "", 400, "ttl: \"Never\": want a duration"},
		{"auto that never ends", "POST", g, `{"mode":"auto","ttl":"never"}`, "", 400, "ttl: auto has no end"},
		{"auto with an end", "POST", g, `{"mode":"auto","ttl":"5m"}`, "", 400, "ttl: auto has no end"},

		{"on with closing", "POST", g, `{"mode":"on","closing":{"policy":"keep"}}`, "", 400, "closing: belongs to mode off"},
		{"auto with closing", "POST", g, `{"mode":"auto","closing":{"policy":"keep"}}`, "", 400, "closing: belongs to mode off"},
		{"a word for closing", "POST", g, `{"mode":"off","closing":"keep"}`, "", 400, "closing: want an object with policy"},
		{"no policy", "POST", g, `{"mode":"off","closing":{}}`, "", 400, "closing.policy: missing: want keep or drain"},
		{"an unknown policy", "POST", g, `{"mode":"off","closing":{"policy":"kill"}}`, "", 400, `closing.policy: "kill": want keep or drain`},
		{"keep with a deadline", "POST", g, `{"mode":"off","closing":{"policy":"keep","deadline":"1s"}}`, "", 400, "closing.deadline: belongs to policy drain"},
		{"a word that is not due yet", "POST", g, `{"mode":"off","closing":{"policy":"drain","spread":"1s"}}`, "", 400, `closing: unknown field "spread"`},
		{"a field twice inside", "POST", g, `{"mode":"off","closing":{"policy":"keep","policy":"drain"}}`, "", 400, `closing: field "policy" occurs twice`},
		{"a deadline below zero", "POST", g, `{"mode":"off","closing":{"policy":"drain","deadline":"-1s"}}`, "", 400, "closing.deadline: -1s: want 0s to 24h"},
		{"a deadline of days", "POST", g, `{"mode":"off","closing":{"policy":"drain","deadline":"2d"}}`, "", 400, "want 0s to 24h"},
		{"code 1006", "POST", g, `{"mode":"off","closing":{"policy":"drain","code":1006}}`, "", 400, "closing.code: 1006 must not be sent"},
		{"code 0", "POST", g, `{"mode":"off","closing":{"policy":"drain","code":0}}`, "", 400, "closing.code: 0 must"},
		{"a code that wraps around", "POST", g, `{"mode":"off","closing":{"policy":"drain","code":66536}}`, "", 400, "66536 must"},
		{"half a code", "POST", g, `{"mode":"off","closing":{"policy":"drain","code":1000.5}}`, "", 400, "want a whole number"},
		{"a string for a code", "POST", g, `{"mode":"off","closing":{"policy":"drain","code":"1000"}}`, "", 400, "want a whole number"},
		{"a long close reason", "POST", g, `{"mode":"off","closing":{"policy":"drain","reason":"` + strings.Repeat("x", 124) + `"}}`, "", 400, "at most 123"},

		{"stored that is not for a client to say", "PUT", f, `{"value":"1","stored":"yes"}`, "", 400, "stored: want true or false"},
		{"a bad flag name", "PUT", "/wsgate/flags/1BAD", `{"value":"1"}`, "", 400, `flag name "1BAD": want`},
		{"no value", "PUT", f, `{}`, "", 400, `value: missing: want {"value":"1"}`},
		{"a number for a value", "PUT", f, `{"value":1}`, "", 400, "value: want a string"},
		{"a bare string", "PUT", f, `"1"`, "", 400, "want an object with value"},
		{"a long value", "PUT", f, `{"value":"` + strings.Repeat("x", 1025) + `"}`, "", 400, "value: 1025 bytes"},
		{"a body to a delete", "DELETE", f, `{"value":"1"}`, "", 400, "DELETE takes none"},

		{"a form", "POST", g, `{"mode":"off"}`, "Content-Type: application/x-www-form-urlencoded", 415, "want application/json"},
		{"a page's plain text", "POST", g, `{"mode":"off"}`, "Content-Type: text/plain", 415, "want application/json"},
		{"create only", "PUT", f, `{"value":"1"}`, "If-None-Match: *", 400, "use If-Match"},
		{"a huge body", "POST", g, `{"mode":"off","reason":"` + strings.Repeat("x", 1<<20) + `"}`, "", 413, "larger than 65536 bytes"},
		{"a late If-Match", "POST", g, `{"mode":"off"}`, `If-Match: "old"`, 412, "GET it again"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := call(t, tt.method, tt.path, tt.body, tt.header)
			checkRefusal(t, a, tt.status, tt.says)
			if (a.header.Get("Allow") != "") != (tt.status == http.StatusMethodNotAllowed) {
				t.Errorf("Allow: %q", a.header.Get("Allow"))
			}
		})
	}
	if g := decode[wire.Gate](t, call(t, "GET", g, "")); g.State != gate.Open || g.Override != nil {
		t.Errorf("a refused call has changed the gate: %+v", g)
	}
	checkLogs(t, "s3cret\"") // Caddy's own line has the URI
}

func checkRefusal(t *testing.T, a answer, status int, says string) {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	if ct := a.header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("Content-Type %q", ct)
	}
	var e map[string]string
	if err := json.Unmarshal([]byte(a.body), &e); err != nil || len(e) != 1 {
		t.Fatalf("not Caddy's error: %v in %s", err, a.body)
	}
	if !strings.Contains(e["error"], says) {
		t.Errorf("error %q does not say %q", e["error"], says)
	}
	if len(e["error"]) > 400 {
		t.Errorf("%d bytes of error", len(e["error"]))
	}
}

// checkLogs searches for a secret in our lines, and in Caddy's lines about our
// errors.
func checkLogs(t *testing.T, secret string) {
	t.Helper()
	b, err := os.ReadFile(testadmin.LogFile)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if strings.Contains(line, "received request") {
			continue
		}
		if strings.Contains(line, secret) {
			t.Errorf("the log has a secret: %s", line)
		}
	}
}

// A client that is still sending must be able to read the answer.
func TestTooLargeIsSaidBeforeTheBodyIsRead(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{"large": {}})
	a := call(t, "POST", "/wsgate/gates/large", strings.Repeat(" ", 8<<20))
	checkRefusal(t, a, http.StatusRequestEntityTooLarge, "larger than")
}

func TestManyGatesAreNamedFewAtATime(t *testing.T) {
	many := make(map[string]gate.Policy)
	for c := 'a'; c <= 'z'; c++ {
		many["many-"+string(c)] = gate.Policy{}
	}
	testadmin.Gates(t, many)
	a := call(t, "GET", "/wsgate/gates/nosuch", "")
	checkRefusal(t, a, http.StatusNotFound, "many-j and 16 more")
}

// Another site's page can make a browser POST without a Content-Type or with
// plain text, and the remote admin endpoint does not check Origin.
func TestOnlyABrowserHasToSayJSON(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{"typed": {}})
	const body = `{"mode":"off"}`
	if a := call(t, "POST", "/wsgate/gates/typed", body, "Content-Type: "); a.status != http.StatusOK {
		t.Errorf("a tool without Content-Type: %d %s", a.status, a.body)
	}
	for _, sign := range []string{"Origin", "Sec-Fetch-Site"} {
		r := newRequest(t, "POST", "/wsgate/gates/typed", body)
		r.Header.Set(sign, "https://evil.example")
		_, err := serve(r)
		if err == nil || !strings.Contains(err.Error(), "want application/json") {
			t.Errorf("a page with %s and without Content-Type: %v", sign, err)
		}
	}
}

func TestABodyThatIsPackedIsRefused(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{"packed": {}})
	for coding, status := range map[string]int{"gzip": 415, "identity": 200, "br, identity": 415} {
		if a := call(t, "POST", "/wsgate/gates/packed", `{"mode":"auto"}`, "Content-Encoding: "+coding); a.status != status {
			t.Errorf("%s: %d %s", coding, a.status, a.body)
		}
	}
}

func TestAContentTypeIsParsedAndNotSearchedForJSON(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{"media": {}})
	for _, tt := range []struct {
		types  []string
		status int
	}{
		{[]string{"application/json"}, 200},
		{[]string{"Application/JSON"}, 200},
		{[]string{"application/json; charset=utf-8"}, 200},
		{[]string{" application/json ; charset=\"utf-8\" "}, 200},
		{[]string{"application/json;"}, 200},
		{[]string{"application/problem+json"}, 200},
		{[]string{"application/vnd.api+json; version=1"}, 200},
		{nil, 200},
		{[]string{""}, 200},
		{[]string{"text/plain;/json"}, 415},
		{[]string{"text/plain; a=/json"}, 415},
		{[]string{"text/plain; a=\"application/json\""}, 415},
		{[]string{"text/plain, application/json"}, 415},
		{[]string{"application/json, text/plain"}, 415},
		{[]string{"text/plain", "application/json"}, 415},
		{[]string{"application/json", "text/plain"}, 415},
		{[]string{"", "application/json"}, 415},
		{[]string{"multipart/form-data; boundary=/json"}, 415},
		{[]string{"text/json"}, 415},
		{[]string{"image/svg+json"}, 415},
		{[]string{"application/jsonp"}, 415},
		{[]string{"application/+json"}, 415},
		{[]string{"application/x-ndjson"}, 415},
		{[]string{"application/json/json"}, 415},
		{[]string{"application/json; a"}, 415},
		{[]string{"application/json; a=1; a=2"}, 415},
		{[]string{"/json"}, 415},
		{[]string{";"}, 415},
	} {
		t.Run(fmt.Sprintf("%q", tt.types), func(t *testing.T) {
			r := newRequest(t, "POST", "/wsgate/gates/media", `{"mode":"off"}`)
			r.Header["Content-Type"] = tt.types
			w, err := serve(r)
			if status := max(statusOf(err), 200); status != tt.status || w.Code != 200 {
				t.Errorf("status %d, want %d: %v", status, tt.status, err)
			}
		})
	}
}
