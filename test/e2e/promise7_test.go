package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// handshakeText sends the text of a request and returns the answer.
func handshakeText(t *testing.T, s *site, text string) (*http.Response, string) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "ws://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(limit))
	if _, err := io.WriteString(c, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp, string(body)
}

// everyHandshake runs a test over the ways that a handshake can take to an
// upstream: the short way to an address, the short way to a name,
// reverse_proxy, and http.Transport (any option of the transport leads there).
func everyHandshake(t *testing.T, f func(t *testing.T, words string)) {
	t.Helper()
	for name, words := range map[string]string{
		"short":         "",
		"short by name": byName + "\n\t\t",
		"reverse_proxy": "trusted_proxies 192.0.2.1\n\t\t",
		"transport":     "transport http {\n\t\t\tkeepalive 30s\n\t\t}\n\t\t",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, words)
		})
	}
}

// refusal waits for the one log line of a refusal.
func (s *site) refusal() map[string]any {
	s.t.Helper()
	s.Await("one refusal in the log", func() bool { return len(s.Lines("handshake refused")) == 1 })
	return s.Lines("handshake refused")[0]
}

func TestPromise7MalformedHandshakesReachNoBackend(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	s := chat(t, b, "")
	host := strings.TrimPrefix(s.url, "ws://")
	good := []string{"Host: " + host, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: " + sampleKey, "Sec-WebSocket-Version: 13"}
	with := func(first string, change ...string) string { // each change replaces the line with its name, or is added
		lines := append([]string(nil), good...)
		for _, c := range change {
			name, value, _ := strings.Cut(c, ": ")
			found := false
			for i, l := range lines {
				if !found && strings.HasPrefix(l, name+":") && !strings.HasPrefix(name, "+") {
					lines[i], found = c, true
					if value == "-" {
						lines = append(lines[:i], lines[i+1:]...)
						break
					}
				}
			}
			if !found {
				lines = append(lines, strings.TrimPrefix(c, "+"))
			}
		}
		return first + "\n" + strings.Join(lines, "\n") + "\n\n"
	}
	get := "GET /ws/ HTTP/1.1"
	tests := []struct {
		name, text string
		status     int
	}{
		{"a second protocol", with(get, "Upgrade: websocket, h2c"), 400},
		{"a second protocol on a second line", with(get, "+Upgrade: h2c"), 400},
		{"no key", with(get, "Sec-WebSocket-Key: -"), 400},
		{"a short key", with(get, "Sec-WebSocket-Key: c2hvcnQ="), 400},
		{"a key that is no base64", with(get, "Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!=="), 400},
		{"two keys", with(get, "+Sec-WebSocket-Key: "+sampleKey), 400},
		{"another method", with("POST /ws/ HTTP/1.1", "Content-Length: 0"), 400},
		{"a body", with(get, "Content-Length: 5") + "hello", 400},
		{"a chunked body", with(get, "Transfer-Encoding: chunked") + "0\n\n", 400},
		{"no Connection", with(get, "Connection: keep-alive"), 400},
		{"HTTP/1.0", with("GET /ws/ HTTP/1.0"), 400},
		{"a subprotocol twice", with(get, "Sec-WebSocket-Protocol: a, a"), 400},
		{"a subprotocol that is no token", with(get, "Sec-WebSocket-Protocol: a b"), 400},
		{"a Connection that names the key", with(get, "Connection: Upgrade, Sec-WebSocket-Key"), 400},
		{"a Connection that names Origin", with(get, "Connection: Upgrade, Origin"), 400},
		{"a Connection that names Cookie, on a second line", with(get, "+Connection: cookie"), 400},
		{"an old version", with(get, "Sec-WebSocket-Version: 8"), 426},
		{"no version", with(get, "Sec-WebSocket-Version: -"), 426},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := handshakeText(t, s, tt.text)
			if resp.StatusCode != tt.status {
				t.Errorf("%s %q, want %d", resp.Status, body, tt.status)
			}
			if tt.status == 426 && resp.Header.Get("Sec-WebSocket-Version") != "13" {
				t.Errorf("426 without the version: %v", resp.Header)
			}
		})
	}
	if resp, _ := handshakeText(t, s, "GET /ws/ HTTP/1.1\nHost: "+host+"\nUpgrade: h2c\nConnection: Upgrade, close\n\n"); resp.StatusCode != 200 {
		t.Errorf("Upgrade: h2c alone is none of ours: %s", resp.Status)
	}
	if asked := b.asked(); len(asked) > 0 {
		t.Errorf("the backend was asked for %v", asked)
	}
}

func TestPromise7LyingBackendsGet502(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		up := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		falseClaims := map[string]string{
			"a wrong accept":                          up + "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
			"no accept":                               up + "\r\n",
			"an unasked subprotocol":                  up + "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: chat\r\n\r\n",
			"an unasked extension":                    up + "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
			"another protocol":                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			"no protocol":                             "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			"two protocols":                           "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket, h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			"a Connection that names the subprotocol": strings.Replace(up, "Connection: Upgrade", "Connection: Upgrade, Sec-WebSocket-Protocol", 1) + "Sec-WebSocket-Accept: %s\r\n\r\n",
			"HTTP/9.9":                                strings.Replace(up, "HTTP/1.1", "HTTP/9.9", 1) + "Sec-WebSocket-Accept: %s\r\n\r\n",
			"HTTP/2.0":                                strings.Replace(up, "HTTP/1.1", "HTTP/2.0", 1) + "Sec-WebSocket-Accept: %s\r\n\r\n",
			"HTTP/1.0":                                strings.Replace(up, "HTTP/1.1", "HTTP/1.0", 1) + "Sec-WebSocket-Accept: %s\r\n\r\n",
			"HTTP/2.0 and a refusal":                  "HTTP/2.0 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
			"a header of 300 KiB":                     up + "Sec-WebSocket-Accept: %s\r\nX-Large: " + strings.Repeat("x", 300<<10) + "\r\n\r\n",
			"200 000 extensions":                      up + "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Extensions: " + strings.Repeat("a,", 100_000) + "\r\n\r\n",
			"no HTTP":                                 "SSH-2.0-OpenSSH_9.2\r\n",
			"nothing":                                 "",
		}
		for name, answer := range falseClaims {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				b := rawBackend(t, func(c *rawConn, r *http.Request) {
					text := answer
					if strings.Contains(text, "%s") {
						text = fmt.Sprintf(text, acceptKey(r.Header.Get("Sec-WebSocket-Key")))
					}
					_, _ = io.WriteString(c, text)
				})
				s := chat(t, b, words+"")
				s.refused("/ws/", http.StatusBadGateway)
				if n := s.Gate("chat")["tunnels"].(float64); n != 0 {
					t.Errorf("%v tunnels", n)
				}
				if line := s.refusal(); line["status"] != 502.0 {
					t.Errorf("logged %v", line)
				}
			})
		}
	})
}

func TestPromise7BackendThatHangsGets504(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		left := make(chan struct{})
		b := rawBackend(t, func(c *rawConn, _ *http.Request) {
			_, _ = io.Copy(io.Discard, c.r) // until it is let go
			close(left)
		})
		s := chat(t, b, words+"handshake_timeout 300ms")
		began := time.Now()
		s.refused("/ws/", http.StatusGatewayTimeout)
		if took := time.Since(began); took < 300*time.Millisecond || took > 5*time.Second {
			t.Errorf("answered after %s", took)
		}
		<-left
		if line := s.refusal(); line["outcome"] != "upstream_timeout" {
			t.Errorf("logged %v", line)
		}
	})
}

func TestPromise7ClientThatLeavesFreesTheBackend(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		asked, left := make(chan struct{}), make(chan struct{})
		b := rawBackend(t, func(c *rawConn, _ *http.Request) {
			close(asked)
			_, _ = io.Copy(io.Discard, c.r)
			close(left)
		})
		s := chat(t, b, words+"")
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "ws://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET /ws/ HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n", strings.TrimPrefix(s.url, "ws://"), sampleKey)
		<-asked
		_ = c.Close()
		select {
		case <-left:
		case <-time.After(limit):
			t.Fatal("the backend's connection was not freed")
		}
		s.Await("the log line", func() bool {
			lines := s.Lines("handshake refused")
			return len(lines) == 1 && lines[0]["outcome"] == "aborted"
		})
	})
}

func TestPromise7NothingListensIs502(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		b := plainBackend(t)
		s := chat(t, b, words+"")
		b.Close()
		s.refused("/ws/", http.StatusBadGateway)
		if line := s.refusal(); line["outcome"] != "upstream_unreachable" {
			t.Errorf("logged %v", line)
		}
	})
}

func TestOtherAnswersOfTheBackendPass(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		b := rawBackend(t, func(c *rawConn, _ *http.Request) {
			_, _ = io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 7\r\nX-Why: members\r\n\r\nmembers")
		})
		s := chat(t, b, words+"")
		host := strings.TrimPrefix(s.url, "ws://")
		resp, body := handshakeText(t, s, "GET /ws/ HTTP/1.1\nHost: "+host+"\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Key: "+sampleKey+"\nSec-WebSocket-Version: 13\n\n")
		if resp.StatusCode != 403 || body != "members" || resp.Header.Get("X-Why") != "members" {
			t.Errorf("got %s %q %v", resp.Status, body, resp.Header)
		}
	})
}

func TestPromise6HandshakeHeaders(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		got := make(chan http.Header, 1)
		b := rawBackend(t, func(c *rawConn, r *http.Request) {
			got <- r.Header.Clone()
			_, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n")
			c.accept(r, "Sec-WebSocket-Protocol: v2.chat", "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover", "Set-Cookie: a=1", "Set-Cookie: b=2", "Server: x", "X-Powered-By: y", "X-Old: z")
			_, _ = io.Copy(c, c.r)
		})
		s := chat(t, b, words+"header_up X-Up yes\n\t\theader_down X-Down yes\n\t\theader_down -X-Old")
		addr := strings.TrimPrefix(s.url, "ws://")
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(limit))
		fmt.Fprintf(c, "GET /ws/ HTTP/1.1\r\nHost: %s\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n"+
			"Sec-WebSocket-Protocol: v1.chat, v2.chat\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nOrigin: http://a.example\r\nCookie: k=v\r\n\r\n", addr, sampleKey)
		r := bufio.NewReader(c)
		hints, err := http.ReadResponse(r, nil)
		if err != nil || hints.StatusCode != 103 || hints.Header.Get("Link") == "" {
			t.Fatalf("1xx before the 101: %v %v", hints, err)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != 101 {
			t.Fatalf("%v %v", resp, err)
		}
		for name, want := range map[string]string{
			"Sec-Websocket-Accept": sampleAccept, "Sec-Websocket-Protocol": "v2.chat", "Upgrade": "websocket", "Connection": "Upgrade",
			"Sec-Websocket-Extensions": "permessage-deflate; server_no_context_takeover", "X-Down": "yes", "X-Old": "", "X-Powered-By": "", "Server": "",
		} {
			if v := resp.Header.Get(name); v != want {
				t.Errorf("101: %s is %q, want %q", name, v, want)
			}
		}
		if cookies := resp.Header["Set-Cookie"]; len(cookies) != 2 {
			t.Errorf("cookies %v", cookies)
		}
		up := <-got
		for name, want := range map[string]string{
			"X-Up": "yes", "Origin": "http://a.example", "Cookie": "k=v", "Accept-Encoding": "", "X-Forwarded-Proto": "http",
			"Sec-Websocket-Protocol": "v1.chat, v2.chat", "Sec-Websocket-Extensions": "permessage-deflate; client_max_window_bits", "X-Forwarded-Host": addr,
		} {
			if v := up.Get(name); v != want {
				t.Errorf("upstream: %s is %q, want %q", name, v, want)
			}
		}
		if up.Get("Via") == "" || up.Get("X-Forwarded-For") == "" {
			t.Errorf("no forwarding headers: %v", up)
		}
	})
}
