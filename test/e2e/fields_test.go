package e2e

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

func TestPromise7HeaderUpSendsNothingThatIsNoField(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		addr, heads := recorder(t)
		b := newBackend(t) // gives its place to the recorder
		_, port, _ := net.SplitHostPort(addr)
		text := strings.ReplaceAll(chatSite(0, b, words+"header_up X-User {query.user}\n\t\theader_up {query.name} yes"), ":"+b.port(), ":"+port)
		s := sites(t, "", strings.Replace(text, "localhost:0 {", "localhost:{$PORT} {", 1))
		for _, query := range []string{"name=X-A&user=a%00b", "name=X-A&user=a%0d%0aX-Admin:%20yes", "name=X-A&user=a%0ab", "name=X%20A&user=ann", "name=X-A%0d%0a&user=ann"} {
			if resp, _ := handshakeText(t, s, opening(s, "/ws/?"+query)); resp.StatusCode != http.StatusBadGateway {
				t.Errorf("%s: answered %s", query, resp.Status)
			}
			select {
			case head := <-heads:
				t.Errorf("%s went upstream: %q", query, head)
			default:
			}
		}
		if resp, _ := handshakeText(t, s, opening(s, "/ws/?name=X-A&user=ann")); resp.StatusCode != http.StatusSwitchingProtocols {
			t.Errorf("good fields: answered %s", resp.Status)
		}
		if head := <-heads; !strings.Contains(head, "X-User: ann") || !strings.Contains(head, "X-A: yes") {
			t.Errorf("good fields went upstream as %q", head)
		}
	})
}

func TestPromise6HopByHopFieldsOfThe101StayBehind(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		b := rawBackend(t, func(c *rawConn, r *http.Request) {
			c.accept(r, "Alt-Svc: h3=\":9\"", "Proxy-Authenticate: Basic", "Proxy-Authorization: Basic eDp5", "Proxy-Connection: keep-alive", "Keep-Alive: timeout=5", "X-End: to end")
			_, _ = io.Copy(io.Discard, c.r)
		})
		s := chat(t, b, words+"")
		_, resp := knock(t, s)
		if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("X-End") == "" {
			t.Errorf("answered %s %v", resp.Status, resp.Header)
		}
		for _, name := range []string{"Alt-Svc", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Keep-Alive"} {
			if v := resp.Header.Get(name); v != "" {
				t.Errorf("%s: %s", name, v)
			}
		}
	})
}

func TestHeaderDownKnowsTheAnswer(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		b := rawBackend(t, func(c *rawConn, r *http.Request) {
			c.accept(r, "X-Foo: bar")
			_, _ = io.Copy(io.Discard, c.r)
		})
		s := chat(t, b, words+"header_down X-Down \"{rp.header.X-Foo} {rp.status_code} {rp.upstream.hostport}\"\n\t\theader_down X-Took \"{rp.upstream.latency_ms}\"")
		_, resp := knock(t, s)
		if want := "bar 101 " + upstream(b, words); resp.Header.Get("X-Down") != want {
			t.Errorf("got %q, want %q", resp.Header.Get("X-Down"), want)
		}
		if took, err := strconv.ParseFloat(resp.Header.Get("X-Took"), 64); err != nil || took <= 0 {
			t.Errorf("took %v, %v", took, err)
		}
	})
}

func TestPoliciesSeeWhatGoesUpstream(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		named := func(name string) *backend {
			return rawBackend(t, func(c *rawConn, r *http.Request) {
				c.accept(r, "X-Name: "+name)
				_, _ = io.Copy(io.Discard, c.r)
			})
		}
		s := chat(t, named("a"), words+"to ws://127.0.0.1:"+named("b").port()+"/ ws://127.0.0.1:"+named("c").port()+"/\n\t\tlb_policy header X-Forwarded-For")
		seen := make(map[string]int)
		for range 12 {
			_, resp := knock(t, s)
			seen[resp.Header.Get("X-Name")]++
		}
		if len(seen) != 1 {
			t.Errorf("one address went to %v", seen)
		}
	})
}

func TestWithoutAHostTheUpstreamsIsSent(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		for _, op := range []string{"header_up -Host", "header_up Host {http.request.header.X-None}"} {
			host := make(chan string, 1)
			b := rawBackend(t, func(c *rawConn, r *http.Request) {
				host <- r.Host
				c.accept(r)
			})
			s := chat(t, b, words+op)
			knock(t, s)
			if got := <-host; got != upstream(b, words) {
				t.Errorf("%s: Host: %s", op, got)
			}
		}
	})
}

func TestHopByHopFieldsOfEarlyHintsStayBehind(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		b := rawBackend(t, func(c *rawConn, r *http.Request) {
			_, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nConnection: X-Hop\r\nX-Hop: 1\r\nLink: </style.css>\r\n\r\n")
			c.accept(r)
		})
		s := chat(t, b, words+"")
		_, resp := knock(t, s)
		if resp.StatusCode != http.StatusEarlyHints || resp.Header.Get("Link") == "" || resp.Header.Get("X-Hop") != "" || resp.Header.Get("Connection") != "" {
			t.Errorf("got %s %v", resp.Status, resp.Header)
		}
	})
}

func TestHostportIsWhatTheClientSentAsHost(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		hosts := make(chan string, 1)
		b := rawBackend(t, func(c *rawConn, r *http.Request) {
			hosts <- r.Host
			c.accept(r)
		})
		s := chat(t, b, words+"header_up Host {hostport}")
		knock(t, s)
		if got := <-hosts; got != strings.TrimPrefix(s.url, "ws://") {
			t.Errorf("the backend compares Origin with %q, want %q", got, s.url)
		}
	})
}
