package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wsgate/wsgate/internal/testcaddy"
)

// silent is a backend that reads handshakes and never answers. The channel gets
// a value for each handshake.
func silent(t *testing.T) (*backend, <-chan struct{}) {
	t.Helper()
	came := make(chan struct{}, 16)
	return rawBackend(t, func(c *rawConn, _ *http.Request) {
		came <- struct{}{}
		_, _ = io.Copy(io.Discard, c.r)
	}), came
}

// stuck is a backend that refuses with an answer too large for any buffer. begun
// gets a value after the first part of the answer, left when a write fails.
func stuck(t *testing.T) (b *backend, begun, left chan struct{}) {
	t.Helper()
	begun, left = make(chan struct{}, 64), make(chan struct{}, 64)
	b = rawBackend(t, func(c *rawConn, _ *http.Request) {
		_, _ = io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 100000000\r\n\r\n")
		piece := make([]byte, 1<<16)
		_, _ = c.Write(piece)
		begun <- struct{}{}
		for {
			if _, err := c.Write(piece); err != nil {
				left <- struct{}{}
				return
			}
		}
	})
	return b, begun, left
}

// unread connects and never reads, so that the server's answers fill the
// buffers.
func unread(t *testing.T, s *site, text string) {
	t.Helper()
	c, err := net.Dial("tcp", "127.0.0.1"+s.url[strings.LastIndexByte(s.url, ':'):])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.(*net.TCPConn).SetReadBuffer(4096)
	if _, err := io.WriteString(c, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
}

func TestPromise4ExitRefusesHandshakesThatAreUnderWay(t *testing.T) {
	t.Parallel()
	for _, words := range []string{"handshake_timeout 1h", "handshake_timeout 1h\n\t\tlb_try_duration 1h"} { // the short way, and the long one
		t.Run("HTTP/1.1 "+words, func(t *testing.T) {
			t.Parallel()
			b, came := silent(t)
			s := chat(t, b, words)
			c := s.ask("/ws/")
			<-came
			answered := make(chan *http.Response, 1)
			go func() { answered <- answerOf(c) }()
			s.Stop(exitLimit)
			if resp := <-answered; resp == nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
				t.Errorf("answered %v", resp)
			}
			if line := s.refusal(); line["outcome"] != "closed" || line["cause"] != "shutdown" {
				t.Errorf("logged %v", line)
			}
		})
	}
	for version, ask := range askers {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			b, came := silent(t)
			s := secure(t, b, "handshake_timeout 1h")
			answered := make(chan int, 1)
			go func() {
				resp, w := ask(t, s)
				_ = w.Close()
				answered <- resp.StatusCode
			}()
			<-came
			s.Stop(exitLimit)
			if status := <-answered; status != 503 {
				t.Errorf("answered %d", status)
			}
		})
	}
}

func TestPromise4ExitWaitsForNoClientThatDoesNotReadARefusal(t *testing.T) {
	t.Parallel()
	t.Run("HTTP/1.1", func(t *testing.T) {
		t.Parallel()
		b, begun, _ := stuck(t)
		s := chat(t, b, "")
		for range 20 {
			unread(t, s, opening(s, "/ws/"))
		}
		for range 20 {
			<-begun
		}
		s.Stop(exitLimit)
	})
	for version, ask := range askers {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			b, _, _ := stuck(t)
			s := secure(t, b, "")
			resp, _ := ask(t, s) // whose body is not read
			if resp.StatusCode != 403 {
				t.Errorf("answered %s", resp.Status)
			}
			s.Stop(exitLimit)
		})
	}
}

func TestPromise4ExitWaitsForNoHandshakeThatIsNotSentWhole(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	for name, text := range map[string]string{
		"nothing":      "",
		"half a line":  "GET /w",
		"half a field": "GET /ws/ HTTP/1.1\nHost: localhost\nUpgrade: webso",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := chat(t, b, "")
			unread(t, s, text)
			s.Stop(exitLimit)
		})
	}
	t.Run("half a TLS handshake", func(t *testing.T) {
		t.Parallel()
		s := secure(t, b, "")
		unread(t, s, "\x16\x03\x01\x02")
		s.Stop(exitLimit)
	})
	t.Run("TLS and nothing more", func(t *testing.T) {
		t.Parallel()
		s := secure(t, b, "")
		c, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "wss://"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s.Stop(exitLimit)
	})
}

func TestPromise4ClientThatDoesNotReadARefusalIsLetGo(t *testing.T) {
	t.Parallel()
	b, _, left := stuck(t)
	s := chat(t, b, "handshake_timeout 1s")
	unread(t, s, opening(s, "/ws/"))
	select {
	case <-left: // the backend's connection is free
	case <-time.After(limit):
		t.Error("the backend still writes to a client that does not read")
	}
}

func TestPromise4ExitSendsCloseFramesToTunnelsThatNoConfigurationIsLeftFor(t *testing.T) {
	t.Parallel()
	s := chat(t, plainBackend(t), "")
	c := s.dial("/ws/")
	s.MustLoad(testcaddy.Options{Sites: fmt.Sprintf("http://localhost:%d {\n\trespond here\n}\n", testcaddy.Port(t))})
	echoes(t, c, "kept")
	exits(t, s, c)
}

func TestPromise4ExitRefusesAHandshakeThatIsUnderWayInAConfigurationThatIsGone(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]string{"with a gate": "	wsgate ws://localhost:1\n", "without": "\trespond here\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, came := silent(t)
			s := chat(t, b, "handshake_timeout 1h")
			c := s.ask("/ws/")
			<-came
			s.MustLoad(testcaddy.Options{Sites: fmt.Sprintf("http://localhost:%d {\n%s}\n", testcaddy.Port(t), next)})
			answered := make(chan *http.Response, 1)
			go func() { answered <- answerOf(c) }()
			s.Stop(exitLimit)
			if resp := <-answered; resp == nil || resp.StatusCode != 503 {
				t.Errorf("answered %v", resp)
			}
		})
	}
}

// answerOf reads the head of an answer. Nil: there was none.
func answerOf(c net.Conn) *http.Response {
	_ = c.SetReadDeadline(time.Now().Add(limit))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil
	}
	return resp
}

func TestPromise4PauseBetweenAttemptsHoldsUpNoExitAndNoTimeout(t *testing.T) {
	t.Parallel()
	dead := fmt.Sprint(testcaddy.Port(t))
	site := func(timeout string) string {
		return "http://localhost:{$PORT} {\n\twsgate ws://127.0.0.1:" + dead + " {\n\t\thandshake_timeout " + timeout + "\n\t\tlb_try_duration 1h\n\t\tlb_try_interval 1h\n\t}\n}\n"
	}
	t.Run("an exit", func(t *testing.T) {
		t.Parallel()
		s := sites(t, "", site("1h"))
		answered := make(chan *http.Response, 1)
		c := s.ask("/")
		go func() { answered <- answerOf(c) }()
		// An attempt fails at once. So most likely the handshake now waits for
		// the next attempt. If the exit comes before it, it must be refused,
		// too.
		s.Stop(exitLimit)
		if resp := <-answered; resp != nil && resp.StatusCode != 503 {
			t.Errorf("answered %v", resp)
		}
	})
	t.Run("handshake_timeout", func(t *testing.T) {
		t.Parallel()
		s := sites(t, "", site("300ms"))
		began := time.Now()
		if resp, _ := handshakeText(t, s, opening(s, "/")); resp.StatusCode != http.StatusGatewayTimeout {
			t.Errorf("answered %s", resp.Status)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("took %s", took)
		}
	})
}
