package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/wsgate/wsgate/internal/testcaddy"
)

// metrics returns the lines of wsgate in Caddy's metrics.
func (s *site) metrics() map[string]string {
	s.t.Helper()
	_, text := s.Call("GET", "/metrics", "")
	lines := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "} "); ok && strings.HasPrefix(name, "caddy_wsgate_") {
			lines[name+"}"] = value
		}
	}
	return lines
}

func TestMetricsMoveWhileTunnelsAreOpenAndOutliveReloads(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	s := chat(t, b, "closing drain 5s")
	c := s.dial("/ws/")
	echoes(t, c, "hello")
	address := upstream(b, "")
	want := map[string]string{
		`caddy_wsgate_gate_open{gate="chat"}`:                           "1",
		`caddy_wsgate_handshakes_total{gate="chat",outcome="accepted"}`: "1",
		`caddy_wsgate_tunnels{gate="chat",upstream="` + address + `"}`:  "1",
		`caddy_wsgate_messages_total{direction="up",gate="chat"}`:       "1",
		`caddy_wsgate_bytes_total{direction="up",gate="chat"}`:          "11", // 6 of header, 5 of payload
		`caddy_wsgate_bytes_total{direction="down",gate="chat"}`:        "7",
		`caddy_wsgate_drain_remaining_tunnels{gate="chat"}`:             "0",
		`caddy_wsgate_handshake_duration_seconds_count{gate="chat"}`:    "1",
	}
	check := func(when string) {
		t.Helper()
		s.Await(when, func() bool {
			got := s.metrics()
			for name, value := range want {
				if got[name] != value {
					t.Logf("%s: %s is %q, want %q", when, name, got[name], value)
					return false
				}
			}
			return true
		})
	}
	check("while the tunnel is open")
	o := s.options
	o.Sites = strings.Replace(o.Sites, "gate chat", "gate chat\n\t\theader_up X-Changed yes", 1)
	s.MustLoad(o)
	check("after a reload")
	s.Switch("chat", `{"mode":"off","reason":"for an hour","ttl":"1h"}`)
	closedWith(t, c, 1013, "for an hour", limit)
	s.refused("/ws/", http.StatusServiceUnavailable)
	want[`caddy_wsgate_gate_open{gate="chat"}`] = "0"
	want[`caddy_wsgate_tunnels{gate="chat",upstream="`+address+`"}`] = "0"
	want[`caddy_wsgate_gate_changes_total{cause="override",gate="chat",to="closed"}`] = "1"
	want[`caddy_wsgate_handshakes_total{gate="chat",outcome="closed"}`] = "1"
	want[`caddy_wsgate_tunnels_closed_total{closed_by="operator",code="1013",gate="chat"}`] = "1"
	want[`caddy_wsgate_tunnel_duration_seconds_count{gate="chat"}`] = "1"
	check("after the switch")
	if s.metrics()[`caddy_wsgate_gate_next_change_timestamp_seconds{gate="chat"}`] == "" {
		t.Error("the next change is not there")
	}
}

func TestLogsSayWhatHappened(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	s := chat(t, b, "")
	c := s.dial("/ws/")
	echoes(t, c, "hello")
	_ = c.Close(websocket.StatusNormalClosure, "done here")
	s.Await("the tunnel's end", func() bool { return len(s.Lines("tunnel closed")) == 1 })
	line := s.Lines("tunnel closed")[0]
	for field, want := range map[string]any{
		"logger": "http.handlers.wsgate", "level": "info", "gate": "chat", "client_ip": "127.0.0.1", "upstream": upstream(b, ""),
		"messages_up": 1.0, "messages_down": 1.0, "closed_by": "client", "close_code": 1000.0, "close_reason": "done here",
	} {
		if line[field] != want && (field != "client_ip" || line[field] != "::1") {
			t.Errorf("tunnel closed: %s is %v, want %v", field, line[field], want)
		}
	}
	opened := s.Lines("tunnel opened")
	if len(opened) != 1 || opened[0]["tunnel_id"] != line["tunnel_id"] || line["duration"] == nil || line["bytes_up"] == nil {
		t.Errorf("opened %v, closed %v", opened, line)
	}
	s.Switch("chat", `{"mode":"off","reason":"db migration","actor":"ana","closing":{"policy":"drain","deadline":"9s","code":4000}}`)
	s.Await("the change", func() bool { return len(s.Lines("gate changed")) == 1 && len(s.Lines("gate switched")) == 1 })
	if said := fmt.Sprint(s.Lines("gate switched")[0]["closing"]); said != "map[code:4000 deadline:9s policy:drain]" {
		t.Errorf("gate switched: closing %s", said)
	}
	if line := s.Lines("gate changed")[0]; line["state"] != "closed" || line["cause"] != "override" || line["reason"] != "db migration" || line["actor"] != "ana" {
		t.Errorf("gate changed: %v", line)
	}
}

func TestClosedGateFillsNoLogWithErrors(t *testing.T) {
	t.Parallel()
	s := chat(t, plainBackend(t), "mode off")
	for range 5 {
		s.refused("/ws/", http.StatusServiceUnavailable)
	}
	s.Await("the refusals", func() bool { return len(s.Lines("handshake refused")) == 5 })
	if line := s.Lines("handshake refused")[0]; line["outcome"] != "closed" || line["cause"] != "config" || line["reason"] != "mode off" {
		t.Errorf("logged %v", line)
	}
	if strings.Contains(s.Log(), `"level":"error"`) {
		t.Errorf("an error was logged:\n%s", s.Log())
	}
}

func TestErrorRoutesAnswerForAClosedGate(t *testing.T) {
	t.Parallel()
	s := chat(t, plainBackend(t), "")
	o := s.options
	o.Sites = strings.TrimSuffix(strings.TrimSpace(o.Sites), "}") +
		"\thandle_errors 503 {\n\t\trespond \"{http.wsgate.gate} is {http.wsgate.state}: {http.wsgate.reason} ({http.wsgate.cause})\" 503\n\t}\n}\n"
	s.MustLoad(o)
	s.Switch("chat", `{"mode":"off","reason":"db migration","ttl":"1h"}`)
	resp := s.refused("/ws/", http.StatusServiceUnavailable)
	body, _ := io.ReadAll(resp.Body)
	if string(body) != "chat is closed: db migration (override)" {
		t.Errorf("got %q", body)
	}
	if wait := resp.Header.Get("Retry-After"); wait != "3600" && wait != "3599" {
		t.Errorf("Retry-After %q", wait)
	}
}

func TestReasonIsSaidWhereNoErrorRouteAnswers(t *testing.T) {
	t.Parallel()
	const own, theirs = "closed for now\n", "an error route"
	respond := " {\n\t\trespond \"" + theirs + "\" {err.status_code}\n\t}\n"
	b := plainBackend(t)
	for name, c := range map[string]struct {
		errors string // in the site
		beside string // in another site on the same listener
		want   string
	}{
		"none":                      {want: own},
		"another site":              {beside: "\thandle_errors" + respond, want: own},
		"another status":            {errors: "\thandle_errors 404" + respond, want: own},
		"another path":              {errors: "\t@other path /other/*\n\thandle_errors {\n\t\trespond @other \"" + theirs + "\"\n\t}\n", want: own},
		"nothing in it":             {errors: "\thandle_errors {\n\t}\n", want: own},
		"any status":                {errors: "\thandle_errors" + respond, want: theirs},
		"one of several":            {errors: "\thandle_errors 404 503" + respond, beside: "\thandle_errors" + respond, want: theirs},
		"the path before rewriting": {errors: "\t@ws path /api/ws/*\n\thandle_errors {\n\t\trespond @ws \"" + theirs + "\" {err.status_code}\n\t}\n", want: theirs},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := testcaddy.Port(t)
			o := testcaddy.Options{Sites: fmt.Sprintf("http://localhost:%d {\n\thandle_path /api/* {\n\t\twsgate /ws/* ws://localhost:%s/ {\n\t\t\tgate chat\n\t\t\tmode off\n\t\t}\n\t}\n%s}\nhttp://127.0.0.1:%d {\n\trespond beside\n%s}\n",
				port, b.port(), c.errors, port, c.beside)}
			s := &site{Server: testcaddy.Start(t, o), t: t, options: o, url: fmt.Sprintf("ws://localhost:%d", port)}
			resp := s.refused("/api/ws/", http.StatusServiceUnavailable)
			if body, _ := io.ReadAll(resp.Body); string(body) != c.want {
				t.Errorf("got %q, want %q", body, c.want)
			}
		})
	}
}

func TestPromise10SecretsStayOut(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		const secret = "s3cretValue"
		b := plainBackend(t)
		broken := rawBackend(t, func(c *rawConn, _ *http.Request) {
			_, _ = io.WriteString(c, "HTTP/1.1 200"+secret+"\r\nSet-Cookie: "+secret+"\r\n\r\n")
		})
		port := testcaddy.Port(t)
		o := testcaddy.Options{Global: "debug", Sites: fmt.Sprintf("http://localhost:%d {\n\twsgate /ws/* ws://localhost:%s/ {\n\t\tgate chat\n\t\t%s\n\t}\n\twsgate /broken ws://localhost:%s {\n\t\tgate chat\n\t\t%s\n\t}\n}\n", port, b.port(), words, broken.port(), words)}
		s := &site{Server: testcaddy.Start(t, o), t: t, options: o, url: fmt.Sprintf("ws://localhost:%d", port)}
		c := s.dial("/ws/?token="+secret, "Cookie", "session="+secret, "Authorization", "Bearer "+secret, "X-Api-Key", secret, "Sec-WebSocket-Protocol", secret)
		echoes(t, c, secret)
		_ = c.Close(websocket.StatusNormalClosure, "")
		s.Await("the tunnel's end", func() bool { return len(s.Lines("tunnel closed")) == 1 })
		s.refused("/broken?token="+secret, http.StatusBadGateway)
		s.Switch("chat", `{"mode":"off"}`)
		s.refused("/ws/?token="+secret, http.StatusServiceUnavailable, "Cookie", "session="+secret)
		s.Await("the refusals", func() bool { return len(s.Lines("handshake refused")) == 2 })
		_, gates := s.Call("GET", "/wsgate/gates", "")
		_, numbers := s.Call("GET", "/metrics", "")
		for line := range strings.Lines(s.Log() + gates + "\n" + numbers) {
			if strings.Contains(line, secret) {
				t.Errorf("the secret is out: %s", line)
			}
		}
		if asked := b.asked(); len(asked) != 1 || asked[0] != "/?token="+secret {
			t.Errorf("the backend was asked for %v", asked)
		}
	})
}

func TestHugeMessagesPass(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	s := chat(t, b, "")
	c := s.dial("/ws/")
	c.SetReadLimit(-1)
	echoes(t, c, strings.Repeat("0123456789abcdef", hugeMessage/16)) // there and back
	s.Await("the counts", func() bool {
		totals := s.Gate("chat")["totals"].(map[string]any)
		return fmt.Sprint(totals["messages_up"]) == "1" && totals["bytes_down"].(float64) >= hugeMessage
	})
}
