package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"

	"github.com/wsgate/wsgate/internal/testcaddy"
)

// versions are the two HTTP versions that carry WebSocket in a stream.
var versions = map[string]func(t *testing.T, s *site) *rawConn{"HTTP/2": dialH2, "HTTP/3": dialH3}

// secure runs one gate behind TLS, with extended CONNECT turned on.
func secure(t *testing.T, b *backend, words string) *site {
	t.Helper()
	return secureWithin(t, b, "read_body_idle 1s", words)
}

// secureWithin is secure with timeouts for the server.
func secureWithin(t *testing.T, b *backend, timeouts, words string) *site {
	t.Helper()
	port := testcaddy.Port(t)
	o := testcaddy.Options{
		Env:    []string{"GODEBUG=http2xconnect=1"},
		Global: "servers {\n\t\ttimeouts {\n\t\t\t" + timeouts + "\n\t\t}\n\t}",
		Sites:  strings.Replace(chatSite(port, b, words), "http://", "https://", 1),
	}
	s := &site{Server: testcaddy.Start(t, o), t: t, options: o, url: fmt.Sprintf("wss://localhost:%d", port)}
	s.awaitTLS(port)
	return s
}

// awaitTLS returns when the server has a certificate.
func (s *site) awaitTLS(port int) {
	s.t.Helper()
	s.Await("a certificate", func() bool {
		c, err := tls.Dial("tcp", fmt.Sprintf("localhost:%d", port), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return false
		}
		_ = c.Close()
		return true
	})
}

// pipe is a stream with a response, as a connection.
type pipe struct {
	io.Reader
	io.WriteCloser
	net.Conn // never used: only Read, Write and Close are
	body     io.Closer
}

func (p *pipe) Read(b []byte) (int, error)  { return p.Reader.Read(b) }
func (p *pipe) Write(b []byte) (int, error) { return p.WriteCloser.Write(b) }
func (p *pipe) Close() error                { _ = p.body.Close(); return p.WriteCloser.Close() }

// askers make the extended CONNECT. They return the answer, and the writer for
// the stream.
var askers = map[string]func(t *testing.T, s *site, edit ...func(*http.Request)) (*http.Response, io.WriteCloser){"HTTP/2": askH2, "HTTP/3": askH3}

// ask makes an extended CONNECT through a round tripper.
func ask(t *testing.T, s *site, rt http.RoundTripper, edit []func(*http.Request)) (*http.Response, io.WriteCloser) {
	t.Helper()
	u, err := url.Parse(strings.Replace(s.url, "wss", "https", 1) + "/ws/")
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	ctx, cancel := context.WithTimeout(context.Background(), 3*limit)
	t.Cleanup(cancel)
	req := (&http.Request{
		Method: http.MethodConnect, URL: u, Host: u.Host, Body: r, ContentLength: -1,
		Header: http.Header{"Sec-Websocket-Version": {"13"}},
	}).WithContext(ctx)
	for _, set := range edit {
		set(req)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatalf("extended CONNECT: %v\n%s", err, s.Log())
	}
	return resp, w
}

func askH2(t *testing.T, s *site, edit ...func(*http.Request)) (*http.Response, io.WriteCloser) {
	t.Helper()
	return ask(t, s, h2Transport(t), append(edit, func(r *http.Request) { r.Header[":protocol"] = []string{"websocket"} }))
}

func h2Transport(t *testing.T) *http2.Transport {
	t.Helper()
	rt := &http2.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(rt.CloseIdleConnections)
	return rt
}

func askH3(t *testing.T, s *site, edit ...func(*http.Request)) (*http.Response, io.WriteCloser) {
	t.Helper()
	rt := &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}}}
	t.Cleanup(func() { _ = rt.Close() })
	return ask(t, s, rt, append(edit, func(r *http.Request) { r.Proto = "websocket" }))
}

// opened is the tunnel that an extended CONNECT opened.
func opened(t *testing.T, resp *http.Response, w io.WriteCloser) *rawConn {
	t.Helper()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("extended CONNECT: %s %s", resp.Status, body)
	}
	p := &pipe{Reader: resp.Body, WriteCloser: w, body: resp.Body}
	t.Cleanup(func() { _ = p.Close() })
	return &rawConn{Conn: p, t: t, r: bufio.NewReader(p)}
}

func dialH2(t *testing.T, s *site) *rawConn {
	t.Helper()
	resp, w := askH2(t, s)
	return opened(t, resp, w)
}

func dialH3(t *testing.T, s *site) *rawConn {
	t.Helper()
	resp, w := askH3(t, s)
	return opened(t, resp, w)
}

func (c *rawConn) echo(text string) {
	c.t.Helper()
	if _, err := c.Write(frame(1, []byte(text), true)); err != nil {
		c.t.Fatalf("writing: %v", err)
	}
	if op, p, err := c.next(); err != nil || op != 1 || string(p) != text {
		c.t.Fatalf("echo of %q: %d %q %v", text, op, p, err)
	}
}

func TestStreamsCarryTunnels(t *testing.T) {
	t.Parallel()
	for name, dial := range versions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := plainBackend(t)
			s := secure(t, b, `closing drain 5s code 4002 "closed for streams, too"`)
			c := dial(t, s)
			c.echo("hello")
			quiet := time.NewTimer(2500 * time.Millisecond) // Caddy's idle deadline is 1s here
			<-quiet.C
			c.echo("after a pause longer than Caddy's own deadline")
			big := strings.Repeat("0123456789abcdef", 1<<14)
			c.echo(big)

			o := s.options
			o.Sites = strings.Replace(o.Sites, "gate chat", "gate chat\n\t\theader_up X-Changed yes", 1)
			s.MustLoad(o)
			c.echo("after a reload")

			s.Switch("chat", `{"mode":"off"}`)
			op, p, err := c.next()
			if want := append([]byte{4002 >> 8, 4002 & 0xff}, "closed for streams, too"...); err != nil || op != 8 || !bytes.Equal(p, want) {
				t.Fatalf("got opcode %d %q %v", op, p, err)
			}
			_, _ = c.Write(frame(8, p[:2], true))
			s.Await("the tunnel to end", func() bool { return s.Gate("chat")["tunnels"].(float64) == 0 && b.tunnels() == 0 })
		})
	}
}

func TestTunnelsOnStreamsOutliveTheServersTimeouts(t *testing.T) {
	t.Parallel()
	for kind, timeouts := range map[string]string{
		"every one":        "read_body 1s\n\t\t\tread_header 1s\n\t\t\twrite 1s\n\t\t\tidle 1s",
		"net/http's alone": "read_body 1s\n\t\t\twrite 1s\n\t\t\tread_body_idle -1s\n\t\t\twrite_idle -1s",
	} {
		for name, dial := range versions {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				b := plainBackend(t)
				s := secureWithin(t, b, timeouts, "")
				c := dial(t, s)
				tick := time.NewTicker(200 * time.Millisecond)
				defer tick.Stop()
				for began := time.Now(); time.Since(began) < 2500*time.Millisecond; <-tick.C {
					c.echo("in use")
				}
			})
		}
	}
}

func TestPromise4SIGTERMEndsStreamsInTime(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	s := secure(t, b, "")
	h2, h3 := dialH2(t, s), dialH3(t, s)
	h2.echo("alive")
	h3.echo("alive")
	o := s.options // one more generation, so that the tunnels belong to an older server
	o.Sites = strings.Replace(o.Sites, "gate chat", "gate chat\n\t\theader_up X-Changed yes", 1)
	s.MustLoad(o)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Stop(exitLimit)
	}()
	for name, c := range map[string]*rawConn{"HTTP/2": h2, "HTTP/3": h3} {
		if op, p, err := c.next(); err != nil || op != 8 || len(p) < 2 || int(p[0])<<8|int(p[1]) != 1001 {
			t.Errorf("%s: got opcode %d %q %v, want close 1001", name, op, p, err)
		}
	}
	<-done
}

func TestPromise7NoAnswerButA101AcceptsAStream(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		var answer atomic.Value
		b := rawBackend(t, func(c *rawConn, _ *http.Request) {
			_, _ = io.WriteString(c, "HTTP/1.1 "+answer.Load().(string)+"\r\nContent-Length: 4\r\n\r\npage")
		})
		s := secure(t, b, words+`@respond status 401
		handle_response @respond {
			respond "welcome" 200
		}
		@copy status 402
		handle_response @copy {
			copy_response 206
		}
		@nothing status 404
		handle_response @nothing {
			header X-Seen yes
		}`)
		refusals := 0
		for _, tt := range []struct {
			name, answer, outcome string
			status                int
		}{
			{"the backend's", "200 OK", "upstream_invalid", 502},
			{"the backend's, another", "299 Odd", "upstream_invalid", 502},
			{"a handle_response route's", "401 Unauthorized", "upstream_refused", 502},
			{"the backend's, copied", "402 Payment Required", "upstream_refused", 502},
			{"nobody's", "404 Not Found", "upstream_refused", 502},
			{"a refusal passes", "403 Forbidden", "upstream_refused", 403},
		} {
			answer.Store(tt.answer)
			for version, ask := range askers {
				resp, w := ask(t, s)
				if resp.StatusCode != tt.status {
					t.Errorf("%s, %s: answered %s", version, tt.name, resp.Status)
				}
				_, _ = resp.Body.Close(), w.Close()
				refusals++
				s.Await("the refusal in the log", func() bool { return len(s.Lines("handshake refused")) == refusals })
				if line := s.Lines("handshake refused")[refusals-1]; line["outcome"] != tt.outcome {
					t.Errorf("%s, %s: logged %v", version, tt.name, line)
				}
			}
		}
	})
}
