package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

func TestRestOfARefusalIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		for name, first := range map[string]struct {
			status string
			want   int
		}{"handled": {"403 Forbidden", 403}, "retried": {"503 Busy", 101}} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var attempts atomic.Int64
				b := rawBackend(t, func(c *rawConn, r *http.Request) {
					if attempts.Add(1) > 1 {
						c.accept(r)
					} else {
						_, _ = io.WriteString(c, "HTTP/1.1 "+first.status+"\r\nContent-Length: 1000\r\n\r\nhello")
					}
					_, _ = io.Copy(io.Discard, c.r) // until it is let go
				})
				s := chat(t, b, words+"handshake_timeout 1h\n\t\tlb_retries 1\n\t\tlb_retry_match {\n\t\t\texpression `{rp.status_code} == 503`\n\t\t}\n\t\t"+
					"@no status 403\n\t\thandle_response @no {\n\t\t\trespond \"members only\" 403\n\t\t}")
				if _, resp := knock(t, s); resp.StatusCode != first.want {
					t.Errorf("answered %s", resp.Status)
				}
			})
		}
	})
}

func TestRefusalCutShortIsCountedAndLogged(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		b := rawBackend(t, func(c *rawConn, _ *http.Request) {
			_, _ = io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 1000\r\n\r\nhello")
		})
		s := chat(t, b, words+"")
		_, resp := knock(t, s)
		if body, err := io.ReadAll(resp.Body); resp.StatusCode != 403 || string(body) != "hello" || err == nil {
			t.Errorf("answered %s %q, %v", resp.Status, body, err)
		}
		if line := s.refusal(); line["outcome"] != "upstream_refused" || line["status"] != 403.0 {
			t.Errorf("logged %v", line)
		}
		if n := s.Gate("chat")["totals"].(map[string]any)["refused"]; n != 1.0 {
			t.Errorf("%v refused", n)
		}
	})
}

func TestErrorsOverABackendsAnswerAreRefusals(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		for name, tt := range map[string]struct {
			answer, reason string
			status         int
		}{
			"an error route":         {"403 Forbidden", "members only", 402},
			"a retry_match, used up": {"503 Busy", "upstream response matched retry_match (status 503)", 503},
		} {
			for _, routes := range []string{"", "\thandle_errors {\n\t\trespond \"{err.status_code} {err.message}\"\n\t}\n"} {
				t.Run(name+routes, func(t *testing.T) {
					t.Parallel()
					b := rawBackend(t, func(c *rawConn, _ *http.Request) {
						_, _ = io.WriteString(c, "HTTP/1.1 "+tt.answer+"\r\nContent-Length: 0\r\n\r\n")
					})
					text := chatSite(0, b, words+"lb_retries 1\n\t\tlb_retry_match {\n\t\t\texpression `{rp.status_code} == 503`\n\t\t}\n\t\t"+
						"@no status 403\n\t\thandle_response @no {\n\t\t\terror \"members only\" 402\n\t\t}")
					s := sites(t, "", strings.Replace(text, "localhost:0 {\n", "localhost:{$PORT} {\n"+routes, 1))
					want := http.StatusText(tt.status) + "\n"
					if routes != "" {
						want = fmt.Sprint(tt.status, " ", tt.reason)
					}
					if resp, body := handshakeText(t, s, opening(s, "/ws/")); resp.StatusCode != tt.status || body != want {
						t.Errorf("answered %s %q, want %q", resp.Status, body, want)
					}
					if line := s.refusal(); line["outcome"] != "upstream_refused" || line["status"] != float64(tt.status) || line["reason"] != tt.reason {
						t.Errorf("logged %v", line)
					}
				})
			}
		}
	})
}
