package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/wsgate/wsgate/internal/testcaddy"
)

// limit is the time for each step of a client.
const limit = 20 * time.Second

// backend is a WebSocket server that echoes, and stores the URIs of its
// requests.
type backend struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string // request URIs as they came
	methods  []string
	headers  []http.Header
	open     map[*websocket.Conn]bool
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{open: make(map[*websocket.Conn]bool)}
	b.Server = httptest.NewUnstartedServer(http.HandlerFunc(b.serve))
	t.Cleanup(b.die)
	return b
}

// plainBackend starts a backend without TLS.
func plainBackend(t *testing.T) *backend {
	t.Helper()
	b := newBackend(t)
	b.Start()
	t.Cleanup(b.Close)
	return b
}

func (b *backend) serve(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.requests = append(b.requests, r.RequestURI)
	b.methods = append(b.methods, r.Method)
	b.headers = append(b.headers, r.Header.Clone())
	b.mu.Unlock()
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	c.SetReadLimit(-1)
	b.mu.Lock()
	b.open[c] = true
	b.mu.Unlock()
	defer func() {
		_ = c.CloseNow()
		b.mu.Lock()
		delete(b.open, c)
		b.mu.Unlock()
	}()
	for {
		kind, data, err := c.Read(context.Background())
		if err != nil {
			return
		}
		if err := c.Write(context.Background(), kind, data); err != nil {
			return
		}
	}
}

// asked returns the URIs of the requests so far.
func (b *backend) asked() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.requests...)
}

// tunnels returns how many connections are open.
func (b *backend) tunnels() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.open)
}

// die breaks every connection, as if the backend were killed.
func (b *backend) die() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.open {
		_ = c.CloseNow()
	}
}

// port returns the port on which the backend listens.
func (b *backend) port() string { return portOf(b.Listener.Addr()) }

func portOf(a net.Addr) string { return strconv.Itoa(a.(*net.TCPAddr).Port) }

// site is a recipe running in Caddy.
type site struct {
	*testcaddy.Server
	t        *testing.T
	url      string // ws://…
	options  testcaddy.Options
	upgrades *http.Client
}

// recipe runs examples/apache/<id>.Caddyfile with environment variables given
// as KEY=value; HTTP_PORT is chosen here.
func recipe(t *testing.T, id string, env ...string) *site {
	t.Helper()
	file, err := os.ReadFile("../../examples/apache/" + id + ".Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	port := testcaddy.Port(t)
	env = append(env, fmt.Sprintf("HTTP_PORT=%d", port))
	text := string(file)
	for _, kv := range env { // as the adapter would, so that /load sees the same
		name, value, _ := strings.Cut(kv, "=")
		text = substitute(text, name, value)
	}
	o := testcaddy.Options{Sites: text, Env: env}
	return &site{
		Server: testcaddy.Start(t, o), t: t, options: o,
		url: fmt.Sprintf("ws://localhost:%d", port),
	}
}

// substitute replaces {$NAME:default} with a value.
func substitute(text, name, value string) string {
	for {
		at := strings.Index(text, "{$"+name+":")
		if at < 0 {
			return text
		}
		end := at + strings.Index(text[at:], "}")
		text = text[:at] + value + text[end+1:]
	}
}

// dial opens a WebSocket, or fails the test.
func (s *site) dial(path string, header ...string) *websocket.Conn {
	s.t.Helper()
	c, resp, err := s.try(path, header...)
	if err != nil {
		s.t.Fatalf("dialling %s: %v (%v)\n%s", path, err, resp, s.Log())
	}
	return c
}

// try opens a WebSocket.
func (s *site) try(path string, header ...string) (*websocket.Conn, *http.Response, error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	c, resp, err := websocket.Dial(ctx, s.url+path, &websocket.DialOptions{HTTPHeader: h, HTTPClient: s.upgrades})
	if err == nil {
		s.t.Cleanup(func() { _ = c.CloseNow() })
	}
	return c, resp, err
}

// refused expects a handshake to be answered with a status.
func (s *site) refused(path string, status int, header ...string) *http.Response {
	s.t.Helper()
	c, resp, err := s.try(path, header...)
	if err == nil {
		_ = c.CloseNow()
		s.t.Fatalf("%s was accepted, want %d", path, status)
	}
	if resp == nil || resp.StatusCode != status {
		s.t.Fatalf("%s: %v (%v), want %d", path, err, resp, status)
	}
	return resp
}

// get makes a plain request.
func (s *site) get(path string) (int, string) {
	s.t.Helper()
	resp, err := http.Get("http" + strings.TrimPrefix(s.url, "ws") + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body := make([]byte, 4096)
	n, _ := resp.Body.Read(body)
	return resp.StatusCode, string(body[:n])
}

// echoes sends a message and expects it back.
func echoes(t *testing.T, c *websocket.Conn, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := c.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		t.Fatalf("writing: %v", err)
	}
	_, got, err := c.Read(ctx)
	if err != nil || string(got) != text {
		t.Fatalf("echo of %q: %q, %v", text, got, err)
	}
}

// closedWith expects a close frame with a code and a reason.
func closedWith(t *testing.T, c *websocket.Conn, code websocket.StatusCode, reason string, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	_, _, err := c.Read(ctx)
	var ce websocket.CloseError
	if !asClose(err, &ce) || ce.Code != code || ce.Reason != reason {
		t.Fatalf("got %v, want close %d %q", err, code, reason)
	}
}

// exits ends the server in time, and expects a close frame in the tunnel.
func exits(t *testing.T, s *site, c *websocket.Conn) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Stop(exitLimit)
	}()
	closedWith(t, c, 1001, "server is shutting down", limit)
	<-done
}
