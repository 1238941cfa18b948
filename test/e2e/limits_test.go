package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/wsgate/wsgate/internal/testcaddy"
)

func TestTunnelsKeepTheLimitsOfTheHandlerTheyCameThroughOverReloads(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	brief, long, other := testcaddy.Port(t), testcaddy.Port(t), testcaddy.Port(t)
	directive := func(path, idle string) string {
		return fmt.Sprintf("\twsgate %s ws://127.0.0.1:%s {\n\t\tgate chat\n\t\tidle_timeout %s\n\t}\n", path, b.port(), idle)
	}
	config := func(n int, more string) testcaddy.Options { // servers are provisioned in any order
		return testcaddy.Options{Sites: fmt.Sprintf("http://localhost:%d {\n%s}\nhttp://localhost:%d {\n%s%s}\nhttp://localhost:%d {\n\trespond %d\n}\n",
			brief, directive("/ws/*", "100ms"), long, directive("/ws/*", "1h"), more, other, n)}
	}
	caddy := testcaddy.Start(t, config(0, ""))
	at := func(port int) *site {
		return &site{Server: caddy, t: t, url: fmt.Sprintf("ws://localhost:%d", port)}
	}
	kept := rawDial(t, at(long), "/ws/")
	for n := range 8 {
		more := ""
		if n%2 == 1 {
			more = directive("/ws/live/*", "100ms") // sorted before /ws/*
		}
		caddy.MustLoad(config(n+1, more))
		if op, _, err := rawDial(t, at(brief), "/ws/").next(); err != nil || op != 8 { // which takes its time
			t.Fatalf("a tunnel of the handler with 100ms: %d %v", op, err)
		}
		kept.echo("still here")
	}
	caddy.MustLoad(testcaddy.Options{Sites: fmt.Sprintf("http://localhost:%d {\n%s}\n", long, directive("/ws/*", "100ms"))})
	if op, _, err := kept.next(); err != nil || op != 8 {
		t.Errorf("the handler's new limit: %d %v", op, err)
	}
}

func TestHalfOpenTunnelIsClosedByItsLimit(t *testing.T) {
	t.Parallel()
	answered := make(chan []byte, 1)
	b := rawBackend(t, func(c *rawConn, r *http.Request) {
		c.accept(r)
		_ = c.Conn.(*net.TCPConn).CloseWrite()
		op, payload, err := c.next()
		if err == nil && op == 8 {
			answered <- payload
		}
		close(answered)
	})
	s := chat(t, b, "half_open_timeout 100ms")
	c := rawDial(t, s, "/ws/")
	if _, _, err := c.next(); !errors.Is(err, io.EOF) {
		t.Errorf("the backend's FIN: %v", err)
	}
	if payload := <-answered; len(payload) < 2 || binary.BigEndian.Uint16(payload) != 1001 {
		t.Errorf("the backend got %q, want 1001", payload)
	}
	s.Await("the log line", func() bool {
		return strings.Contains(s.Log(), `"closed_by":"limit"`)
	})
}
