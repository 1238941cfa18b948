package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// ask sends a handshake and leaves the answer to the caller.
func (s *site) ask(path string) net.Conn {
	s.t.Helper()
	addr := strings.TrimPrefix(s.url, "ws://")
	c, err := net.DialTimeout("tcp", addr, limit)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(2 * limit))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n", path, addr, sampleKey)
	return c
}

func TestPromise1HandshakeUnderWaySurvivesAReload(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		asked, answer := make(chan struct{}, 8), make(chan struct{})
		b := rawBackend(t, func(c *rawConn, r *http.Request) {
			asked <- struct{}{}
			<-answer
			c.accept(r)
			_, _ = io.Copy(c, c.r)
		})
		s := chat(t, b, words)
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				c := rawDial(t, s, "/ws/")
				c.echo("after the reload")
			})
		}
		for range 5 {
			<-asked
		}
		o := s.options
		o.Sites = strings.Replace(o.Sites, "gate chat", "gate chat\n\t\theader_up X-Changed yes", 1)
		s.MustLoad(o)
		close(answer)
		all.Wait()
		if n := s.Gate("chat")["tunnels"].(float64); n != 5 {
			t.Errorf("%v tunnels in the gate, want 5", n)
		}
	})
}

func TestHandshakeUnderWayMeetsTheGateThatIsGone(t *testing.T) {
	t.Parallel()
	asked, answer, left := make(chan struct{}), make(chan struct{}), make(chan struct{})
	b := rawBackend(t, func(c *rawConn, r *http.Request) {
		close(asked)
		<-answer
		c.accept(r)
		_, _ = io.Copy(io.Discard, c.r)
		close(left)
	})
	s := chat(t, b, "")
	c := s.ask("/ws/")
	<-asked
	gone := s.options
	gone.Sites = "http://localhost" + s.url[strings.LastIndexByte(s.url, ':'):] + " {\n\trespond hello\n}\n"
	s.MustLoad(gone)
	close(answer)
	got, _ := io.ReadAll(c)
	if !bytes.HasPrefix(got, []byte("HTTP/1.1 503 ")) {
		t.Errorf("got %q", got)
	}
	<-left // the backend's connection is freed
}

func TestPromise7ClientsThatLeaveInTheMiddleOfAnAnswerBreakNothing(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		left := make(chan struct{}, 20)
		b := rawBackend(t, func(c *rawConn, _ *http.Request) {
			_, _ = io.WriteString(c, "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n")
			for {
				if _, err := io.WriteString(c, "4\r\nmore\r\n"); err != nil {
					break
				}
			}
			left <- struct{}{}
		})
		s := chat(t, b, words+"handshake_timeout 1s")
		for i := range 20 {
			c := s.ask("/ws/")
			if i%2 == 0 { // the others stay until handshake_timeout
				_, _ = io.ReadFull(c, make([]byte, 100))
				_ = c.Close()
			}
		}
		for range 20 {
			<-left
		}
		if status, _ := s.Call("GET", "/config/", ""); status != http.StatusOK {
			t.Errorf("Caddy answers %d", status)
		}
	})
}

func TestPromise7ManyThatAreLateTogether(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		b := rawBackend(t, func(c *rawConn, _ *http.Request) { _, _ = io.Copy(io.Discard, c.r) })
		s := chat(t, b, words+"handshake_timeout 300ms")
		var all sync.WaitGroup
		for range 30 {
			all.Go(func() {
				got := make([]byte, len("HTTP/1.1 504 "))
				_, err := io.ReadFull(s.ask("/ws/"), got)
				if string(got) != "HTTP/1.1 504 " {
					t.Errorf("got %q, %v", got, err)
				}
			})
		}
		all.Wait()
	})
}

func TestPromise7OneTimeoutForAllAttempts(t *testing.T) {
	t.Parallel()
	for name, words := range map[string]string{
		"lb_retries": "lb_retries 3", "lb_try_duration": "lb_try_duration 20s", "both": "lb_retries 50\n\t\tlb_try_duration 20s",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hangs := rawBackend(t, func(c *rawConn, _ *http.Request) { _, _ = io.Copy(io.Discard, c.r) })
			works := plainBackend(t)
			s := chat(t, hangs, words+"\n\t\tto ws://localhost:"+works.port()+"/\n\t\tlb_policy first\n\t\tfail_duration 30s\n\t\thandshake_timeout 700ms")
			began := time.Now()
			s.refused("/ws/", http.StatusGatewayTimeout)
			if took := time.Since(began); took < 700*time.Millisecond || took > 4*time.Second {
				t.Errorf("answered after %s", took)
			}
			line := s.refusal()
			if line["outcome"] != "upstream_timeout" || line["upstream"] != upstream(hangs, words) {
				t.Errorf("logged %v", line)
			}
			// The upstream that hangs counts as failed now, and the other does
			// not.
			echoes(t, s.dial("/ws/"), "hello")
			if n := works.tunnels(); n != 1 {
				t.Errorf("%d tunnels at the upstream that works", n)
			}
		})
	}
}

func TestReadTimeoutIsMeantForTheAnswer(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	s := chat(t, b, "transport http {\n\t\t\tread_timeout 2s\n\t\t\twrite_timeout 2s\n\t\t}")
	began := time.Now()
	c := s.dial("/ws/")
	if took := time.Since(began); took > 1500*time.Millisecond {
		t.Errorf("the handshake took %s", took)
	}
	quiet := time.NewTimer(2500 * time.Millisecond) // longer than the timeout
	<-quiet.C
	echoes(t, c, "still here")
}

func TestPromise6AnyNumberOfEarlyAnswersPass(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		b := rawBackend(t, func(c *rawConn, r *http.Request) {
			for range 7 {
				_, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\nServer: x\r\n\r\n")
			}
			c.accept(r)
			_, _ = io.Copy(c, c.r)
		})
		s := chat(t, b, words)
		got := make([]byte, 0, 4096)
		for c := s.ask("/ws/"); !bytes.Contains(got, []byte("HTTP/1.1 101 ")); {
			buf := make([]byte, 512)
			n, err := c.Read(buf)
			got = append(got, buf[:n]...)
			if err != nil {
				t.Fatalf("%v after %q", err, got)
			}
		}
		if n := bytes.Count(got, []byte("HTTP/1.1 103 ")); n != 7 {
			t.Errorf("%d early answers", n)
		}
		if bytes.Contains(got, []byte("Server: ")) {
			t.Errorf("an early answer names the server: %q", got)
		}
	})
}

func TestPromise4ClientThatDoesNotReadItsAnswerHoldsUpNobody(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		left := make(chan struct{})
		b := rawBackend(t, func(c *rawConn, r *http.Request) {
			c.accept(r, "X-Large: "+strings.Repeat("x", 8<<20))
			_, _ = io.Copy(io.Discard, c.r)
			close(left)
		})
		if words = strings.Replace(words, "transport http {", "transport http {\n\t\t\tmax_response_header 16MB", 1); !strings.Contains(words, "transport") {
			words += "transport http {\n\t\t\tmax_response_header 16MB\n\t\t}\n\t\t"
		}
		s := chat(t, b, words+"closing drain 1s")
		c := s.ask("/ws/")
		s.Await("the tunnel to be admitted", func() bool { return s.Gate("chat")["tunnels"].(float64) == 1 })
		s.Switch("chat", `{"mode":"off"}`)
		<-left
		s.Await("the tunnel to be gone", func() bool { return s.Gate("chat")["tunnels"].(float64) == 0 })
		_ = c.Close()
	})
}

func TestRefusalByTheBackendIsLoggedWithItsStatus(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		b := rawBackend(t, func(c *rawConn, _ *http.Request) {
			_, _ = io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
		})
		s := chat(t, b, words)
		s.refused("/ws/", http.StatusForbidden)
		if line := s.refusal(); line["status"] != 403.0 || line["outcome"] != "upstream_refused" || line["upstream"] != upstream(b, words) {
			t.Errorf("logged %v", line)
		}
	})
}

func TestImpossibleStatusIsNoAnswer(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		for _, answer := range []string{"HTTP/1.1 099 Odd\r\n\r\n", "HTTP/1.1 000 Odd\r\n\r\n", "HTTP/1.1 1xx secret\r\n\r\n"} {
			b := rawBackend(t, func(c *rawConn, _ *http.Request) { _, _ = io.WriteString(c, answer) })
			s := chat(t, b, words)
			s.refused("/ws/", http.StatusBadGateway)
			if line := s.refusal(); line["outcome"] != "upstream_invalid" || strings.Contains(fmt.Sprint(line), "secret") {
				t.Errorf("%q: logged %v", answer, line)
			}
		}
	})
}

// A gate that closes waits for no backend. It refuses its handshakes under way
// at once, and sends nothing more to a backend.
func TestPromise3HandshakeUnderWayIsRefusedWhenItsGateCloses(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		asked, left := make(chan struct{}, 8), make(chan struct{}, 8)
		b := rawBackend(t, func(c *rawConn, _ *http.Request) { // never answers
			asked <- struct{}{}
			_, _ = io.Copy(io.Discard, c.r)
			left <- struct{}{}
		})
		s := secure(t, b, words+"max_fails 1\n\t\tfail_duration 1h")
		answered := make(map[string]chan int)
		for version, ask := range askers {
			status := make(chan int, 1)
			answered[version] = status
			go func() {
				resp, w := ask(t, s)
				_ = w.Close()
				status <- resp.StatusCode
			}()
			<-asked
		}
		quickly(t, "the switch", func() { s.Switch("chat", `{"mode":"off","reason":"fire"}`) })
		for version, status := range answered {
			quickly(t, "the answer", func() {
				if got := <-status; got != http.StatusServiceUnavailable {
					t.Errorf("%s: answered %d", version, got)
				}
			})
			<-left // the backend's connection is freed
		}
		for _, u := range s.Gate("chat")["upstreams"].([]any) {
			if u := u.(map[string]any); u["healthy"] != true || u["fails"] != 0.0 {
				t.Errorf("the upstream is not to blame: %v", u)
			}
		}
	})
}

func TestPromise3NoBackendIsAskedBehindAGateThatHasClosed(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		var asked atomic.Int64
		b := rawBackend(t, func(*rawConn, *http.Request) { asked.Add(1) }) // and hangs up: it is tried again
		s := chat(t, b, words+"lb_try_duration 1m\n\t\tlb_try_interval 20ms\n\t\thandshake_timeout 1m")
		c := s.ask("/ws/")
		s.Await("some attempts", func() bool { return asked.Load() > 2 })
		s.Switch("chat", `{"mode":"off","reason":"fire"}`)
		before := asked.Load()
		quickly(t, "the answer", func() {
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || resp.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("got %v, %v", resp, err)
			}
		})
		s.refused("/ws/", http.StatusServiceUnavailable)
		if more := asked.Load() - before; more > 1 { // one may have been on its way
			t.Errorf("the backend was asked %d times more", more)
		}
	})
}
