package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wsgate/wsgate/internal/testcaddy"
)

// refusals are directives that refuse every handshake, by outcome. %s is their
// gate's name.
func refusals(t *testing.T) map[string]string {
	t.Helper()
	says := func(answer string) string {
		return rawBackend(t, func(c *rawConn, _ *http.Request) { _, _ = io.WriteString(c, answer) }).port()
	}
	hangs := rawBackend(t, func(c *rawConn, _ *http.Request) { _, _ = io.Copy(io.Discard, c.r) })
	to := func(port, words string) string {
		return "wsgate ws://127.0.0.1:" + port + " {\n\t\t\tgate %s\n\t\t\t" + words + "\n\t\t}"
	}
	return map[string]string{
		"closed":               to("1", "mode off"),
		"upstream_unreachable": to(fmt.Sprint(testcaddy.Port(t)), ""),
		"upstream_refused":     to(says("HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\nno"), ""),
		"upstream_invalid":     to(says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"), ""),
		"upstream_timeout":     to(hangs.port(), "handshake_timeout 100ms"),
		"malformed":            to("1", ""),
	}
}

// ways are routes that come after a refusal and lead to an application that
// accepts WebSockets. Each is put in front of a refusing directive.
var ways = map[string]string{
	"errors":    "",
	"intercept": "intercept {\n\t\t\thandle_response {\n\t\t\t\treverse_proxy 127.0.0.1:APP\n\t\t\t}\n\t\t}",
	"nested":    "intercept {\n\t\t\thandle_response {\n\t\t\t\tinvoke app\n\t\t\t}\n\t\t}\n\t\theader X-Between yes\n\t\tencode",
	"response":  "",
}

// fronts are handlers that give the handlers behind them a copy of the request.
var fronts = map[string]string{
	"plain": "", "tracing": "tracing {\n\t\t\tspan refusal\n\t\t}",
	"timeouts": "timeouts {\n\t\t\tread_timeout 30s\n\t\t}", "body": "request_body {\n\t\t\tmax_size 1MB\n\t\t}",
}

// walled is a site on which each handshake is refused, at
// /<outcome>/<way>/<front>, and on which every way leads to an application that
// accepts WebSockets.
func walled(t *testing.T, app *backend) *site {
	t.Helper()
	port := testcaddy.Port(t)
	var blocks strings.Builder
	gates := 0
	for outcome, directive := range refusals(t) {
		for way, before := range ways {
			for front, first := range fronts {
				gates++
				d := fmt.Sprintf(directive, fmt.Sprintf("g%d", gates))
				if way == "response" {
					d = strings.TrimSuffix(d, "}") + "\thandle_response {\n\t\t\t\treverse_proxy 127.0.0.1:APP\n\t\t\t}\n\t\t}"
				}
				fmt.Fprintf(&blocks, "\troute /%s/%s/%s {\n\t\t%s\n\t\t%s\n\t\t%s\n\t}\n", outcome, way, front, before, first, d)
			}
		}
	}
	o := testcaddy.Options{
		Env:    []string{"GODEBUG=http2xconnect=1", "OTEL_TRACES_EXPORTER=none"},
		Global: "servers {\n\t\ttrace\n\t}",
		Sites: strings.ReplaceAll(fmt.Sprintf(`&(app) {
	reverse_proxy 127.0.0.1:APP
}
https://localhost:%d {
	log
	handle_errors {
		@other path */errors/tracing
		handle @other {
			invoke app
		}
		@ws ws_handshake
		respond @ws "still a handshake" 599
		rewrite * /{err.status_code}/{http.wsgate.outcome}
		reverse_proxy 127.0.0.1:APP
	}
%s}
`, port, blocks.String()), "APP", app.port()),
	}
	s := &site{Server: testcaddy.Start(t, o), t: t, options: o, url: fmt.Sprintf("wss://localhost:%d", port)}
	s.awaitTLS(port)
	return s
}

// asks has a function for each HTTP version. It sends one handshake, and
// returns the status of the answer.
var asks = map[string]func(t *testing.T, s *site, path string, malformed bool) int{
	"HTTP/1.1": func(t *testing.T, s *site, path string, malformed bool) int {
		text := opening(s, path)
		if malformed {
			text = strings.Replace(text, "Upgrade: websocket", "Upgrade: websocket, foo/2", 1)
		}
		c, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "wss://"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(limit))
		if _, err := io.WriteString(c, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	},
	"HTTP/2": func(t *testing.T, s *site, path string, malformed bool) int {
		return askStream(t, s, "HTTP/2", path, malformed)
	},
	"HTTP/3": func(t *testing.T, s *site, path string, malformed bool) int {
		return askStream(t, s, "HTTP/3", path, malformed)
	},
}

func askStream(t *testing.T, s *site, version, path string, malformed bool) int {
	t.Helper()
	resp, w := askers[version](t, s, func(r *http.Request) {
		r.URL.Path = path
		if malformed {
			r.Header["Sec-Websocket-Version"] = []string{"12"}
		}
	})
	_ = w.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func TestPromise3RefusedHandshakeIsNoneForAnyRouteThatComesAfter(t *testing.T) {
	t.Parallel()
	app := plainBackend(t)
	s := walled(t, app)
	for version, ask := range asks {
		for outcome := range refusals(t) {
			for way := range ways {
				for front := range fronts {
					path := "/" + outcome + "/" + way + "/" + front
					t.Run(version+path, func(t *testing.T) {
						status := ask(t, s, path, outcome == "malformed")
						if status == http.StatusSwitchingProtocols || status < 300 || status == 599 {
							t.Errorf("answered %d", status)
						}
					})
				}
			}
		}
	}
	app.mu.Lock()
	defer app.mu.Unlock()
	if len(app.requests) == 0 {
		t.Error("no way led to the application: the test shows nothing")
	}
	for i, h := range app.headers {
		if app.methods[i] != http.MethodGet {
			t.Errorf("%s reached the application as %s", app.requests[i], app.methods[i])
		}
		for name := range h {
			if name == "Upgrade" || strings.HasPrefix(strings.ToLower(name), "sec-websocket-") {
				t.Errorf("%s reached the application with %s", app.requests[i], name)
			}
		}
	}
	if n := len(app.open); n > 0 {
		t.Errorf("%d tunnels that no gate knows", n)
	}
}

func TestErrorRoutesLearnTheOutcome(t *testing.T) {
	t.Parallel()
	app := plainBackend(t)
	s := walled(t, app)
	for outcome := range refusals(t) {
		asks["HTTP/1.1"](t, s, "/"+outcome+"/errors/plain", outcome == "malformed")
	}
	got := strings.Join(app.asked(), " ")
	for _, want := range []string{"/503/closed", "/502/upstream_unreachable", "/502/upstream_invalid", "/504/upstream_timeout", "/400/malformed"} {
		if !strings.Contains(got, want) {
			t.Errorf("the error route asked for %s, want %s among them", got, want)
		}
	}
}

func TestAccessLogKeepsTheFieldsOfARefusedHandshake(t *testing.T) {
	t.Parallel()
	s := walled(t, plainBackend(t))
	asks["HTTP/1.1"](t, s, "/closed/errors/plain", false)
	s.Await("the access log", func() bool { return len(s.Lines("handled request")) > 0 })
	line := s.Lines("handled request")[0]
	if line["level"] != "info" || !strings.HasPrefix(fmt.Sprint(line["wsgate"]), "g") {
		t.Errorf("logged at %v for gate %v, want info and the gate", line["level"], line["wsgate"])
	}
	request, _ := line["request"].(map[string]any)
	headers, _ := request["headers"].(map[string]any)
	if headers["Upgrade"] == nil || headers["Sec-Websocket-Key"] == nil {
		t.Errorf("logged %v", headers)
	}
}

// Behind tracing, error routes have another copy of the request. That copy
// keeps what the gate has removed, such as a body.
func TestPromise3BodyOfARefusedHandshakeIsNotHandedOn(t *testing.T) {
	t.Parallel()
	app := rawBackend(t, func(c *rawConn, _ *http.Request) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
	})
	s := sites(t, "", "http://localhost:{$PORT} {\n\ttracing {\n\t\tspan x\n\t}\n\thandle_errors {\n\t\treverse_proxy 127.0.0.1:"+app.port()+"\n\t}\n\twsgate ws://127.0.0.1:"+app.port()+" {\n\t\tmode off\n\t}\n}\n")
	for name, body := range map[string]string{"a length": "Content-Length: 5\n\nhello", "chunks": "Transfer-Encoding: chunked\n\n5\nhello\n0\n\n"} {
		resp, _ := handshakeText(t, s, strings.TrimSuffix(opening(s, "/"), "\n")+body)
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: answered %s", name, resp.Status)
		}
	}
	if asked := app.asked(); len(asked) > 0 {
		t.Errorf("handed on: %q", asked)
	}
}

func TestPromise3HandshakeWithAnotherMethodIsRefusedForGood(t *testing.T) {
	t.Parallel()
	app := plainBackend(t)
	for name, method := range map[string]string{"rewritten to GET": "\t\tmethod GET\n", "rewritten to POST": "\t\tmethod POST\n", "rewritten behind tracing": "\t\ttracing\n\t\tmethod GET\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := secure(t, app, "")
			o := s.options
			at := strings.Index(o.Sites, "\twsgate")
			o.Sites = o.Sites[:at] + "\thandle_errors {\n\t\treverse_proxy 127.0.0.1:" + app.port() + "\n\t}\n\troute {\n" + method +
				"\t\twsgate ws://127.0.0.1:" + app.port() + " {\n\t\t\tgate chat\n\t\t\tmode off\n\t\t}\n\t\terror 404\n\t}\n}\n"
			s.MustLoad(o)
			for version, ask := range askers {
				resp, w := ask(t, s)
				_ = w.Close()
				if resp.StatusCode < 400 {
					t.Errorf("%s: answered %s", version, resp.Status)
				}
			}
			s.Await("both refusals in the log", func() bool { return len(s.Lines("handshake refused")) == 2 })
		})
	}
	t.Run("as it came, over HTTP/1.1", func(t *testing.T) {
		t.Parallel()
		s := sites(t, "", "http://localhost:{$PORT} {\n\thandle_errors {\n\t\treverse_proxy 127.0.0.1:"+app.port()+"\n\t}\n\twsgate ws://127.0.0.1:"+app.port()+" {\n\t\tmode off\n\t}\n}\n")
		for _, method := range []string{"DELETE", "POST", "PUT", "get"} {
			resp, _ := handshakeText(t, s, strings.Replace(opening(s, "/"), "GET", method, 1))
			if resp.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: answered %s", method, resp.Status)
			}
		}
	})
	t.Cleanup(func() {
		if asked := app.asked(); len(asked) > 0 {
			t.Errorf("the application was asked for %v", asked)
		}
	})
}
