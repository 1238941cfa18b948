package e2e

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// opening is the text of a handshake.
func opening(s *site, target string) string {
	return "GET " + target + " HTTP/1.1\nHost: " + strings.TrimPrefix(strings.TrimPrefix(s.url, "ws://"), "wss://") +
		"\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Key: " + sampleKey + "\nSec-WebSocket-Version: 13\n\n"
}

// knock sends a handshake, and returns the head of the answer. The connection
// stays open.
func knock(t *testing.T, s *site) (net.Conn, *http.Response) {
	t.Helper()
	c, err := net.Dial("tcp", "127.0.0.1"+s.url[strings.LastIndexByte(s.url, ':'):])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(limit))
	if _, err := io.WriteString(c, strings.ReplaceAll(opening(s, "/ws/"), "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, resp
}

func TestPromise7A101ThatRetryMatchRejectsIsGivenBack(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		for name, second := range map[string]struct {
			answer  func(*rawConn, *http.Request)
			status  int
			outcome string
		}{
			"then accepted": {func(c *rawConn, r *http.Request) { c.accept(r, "X-Busy: 0") }, 101, ""},
			"then refused": {func(c *rawConn, _ *http.Request) {
				_, _ = io.WriteString(c, "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")
			}, 503, "upstream_refused"},
			"then rejected again": {func(c *rawConn, r *http.Request) { c.accept(r, "X-Busy: 1") }, 502, "upstream_refused"},
			"then no answer":      {func(*rawConn, *http.Request) {}, 502, "upstream_invalid"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var attempts atomic.Int64
				left := make(chan struct{}, 1)
				b := rawBackend(t, func(c *rawConn, r *http.Request) {
					if attempts.Add(1)%2 == 0 {
						second.answer(c, r)
						if second.status == http.StatusSwitchingProtocols {
							_, _ = io.Copy(io.Discard, c.r)
						}
						return
					}
					c.accept(r, "X-Busy: 1")
					_, _ = io.Copy(io.Discard, c.r)
					left <- struct{}{}
				})
				s := chat(t, b, words+"unhealthy_request_count 1\n\t\tlb_retries 1\n\t\tlb_retry_match {\n\t\t\texpression `{rp.header.X-Busy} == \"1\"`\n\t\t}")
				for round := range 2 { // each attempt finds the upstream full if one is still counted
					c, resp := knock(t, s)
					if resp.StatusCode != second.status {
						t.Errorf("answered %s", resp.Status)
					}
					select {
					case <-left: // while the client is still there
					case <-time.After(limit):
						t.Fatal("the rejected connection is still open")
					}
					if second.status == http.StatusSwitchingProtocols {
						s.Await("the tunnel", func() bool { return len(s.Lines("tunnel opened")) == round+1 })
					}
					_ = c.Close()
					s.Await("the tunnel's end", func() bool { return s.Gate("chat")["tunnels"].(float64) == 0 })
				}
				for _, line := range s.Lines("handshake refused") {
					if line["outcome"] != second.outcome || line["status"] != float64(second.status) {
						t.Errorf("logged %v", line)
					}
				}
			})
		}
	})
}
