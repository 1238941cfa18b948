package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/wsgate/wsgate/internal/testcaddy"
)

// chat runs one gate named chat in front of a backend, with more words for
// its block.
func chat(t *testing.T, b *backend, words string) *site {
	t.Helper()
	return chatWith(t, b, "", words)
}

// chatWith starts a chat with global options.
func chatWith(t *testing.T, b *backend, global, words string) *site {
	t.Helper()
	port := testcaddy.Port(t)
	o := testcaddy.Options{Global: global, Sites: chatSite(port, b, words)}
	return &site{Server: testcaddy.Start(t, o), t: t, options: o, url: fmt.Sprintf("ws://localhost:%d", port)}
}

func chatSite(port int, b *backend, words string) string {
	return fmt.Sprintf("http://localhost:%d {\n\twsgate /ws/* ws://%s/ {\n\t\tgate chat\n\t\t%s\n\t}\n}\n", port, upstream(b, words), words)
}

// byName makes wsgate dial a backend by its name. An address would not go
// through net.Dialer on Linux.
const byName = "# by name"

// upstream is a backend as the configuration with these words has it.
func upstream(b *backend, words string) string {
	if strings.Contains(words, byName) {
		return "localhost:" + b.port()
	}
	return "127.0.0.1:" + b.port()
}

// many opens n tunnels.
func many(s *site, n int) []*websocket.Conn {
	s.t.Helper()
	open := make([]*websocket.Conn, n)
	for i := range open {
		open[i] = s.dial("/ws/")
		echoes(s.t, open[i], fmt.Sprint(i))
	}
	return open
}

func allEcho(t *testing.T, open []*websocket.Conn, what string) {
	t.Helper()
	for i, c := range open {
		echoes(t, c, fmt.Sprint(what, " ", i))
	}
}

func TestPromise1NoReloadDropsATunnel(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	s := chat(t, b, "")
	open := many(s, 100)
	for i := range 5 { // this site
		o := s.options
		o.Sites = strings.Replace(o.Sites, "gate chat", fmt.Sprintf("gate chat\n\t\theader_up X-Round %d", i), 1)
		s.MustLoad(o)
		allEcho(t, open, "this site")
	}
	other := s.options // another site
	other.Sites += fmt.Sprintf("http://localhost:%d {\n\trespond hello\n}\n", testcaddy.Port(t))
	s.MustLoad(other)
	allEcho(t, open, "another site")
	// a patch through /config/
	if status, body := s.Call("PUT", "/config/apps/http/servers/srv0/idle_timeout", `"7s"`); status != 200 {
		t.Fatalf("patch: %d %s", status, body)
	}
	allEcho(t, open, "a patch")
	if n := int(s.Gate("chat")["tunnels"].(float64)); n != 100 || b.tunnels() != 100 {
		t.Errorf("%d tunnels in the gate, %d at the backend, want 100", n, b.tunnels())
	}
}

func TestPromise1NewPolicyAppliesToOpenTunnels(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	s := chat(t, b, "")
	open := many(s, 10)
	closed := s.options
	closed.Sites = strings.Replace(closed.Sites, "gate chat", "gate chat\n\t\tmode off\n\t\tclosing drain 5s code 4001 \"new policy\"", 1)
	s.MustLoad(closed)
	for _, c := range open {
		closedWith(t, c, 4001, "new policy", limit)
	}
	s.refused("/ws/", http.StatusServiceUnavailable)
}

func TestPromise1NewTimeoutsApplyToOpenTunnels(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	s := chat(t, b, "")
	c := s.dial("/ws/")
	began := time.Now() // it is idle from here on, at the earliest
	echoes(t, c, "no limit yet")
	o := s.options
	o.Sites = strings.Replace(o.Sites, "gate chat", "gate chat\n\t\tidle_timeout 400ms", 1)
	s.MustLoad(o)
	closedWith(t, c, 1001, "idle timeout", limit)
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("closed after %s, want at least the idle timeout", took)
	}
}

func TestPromise1GateThatIsGoneDrains(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	s := chat(t, b, `closing drain 5s`)
	c := s.dial("/ws/")
	echoes(t, c, "here")
	gone := s.options
	gone.Sites = strings.Replace(gone.Sites, "gate chat", "gate other", 1)
	gone.Sites = strings.Replace(gone.Sites, "closing drain 5s", "", 1)
	s.MustLoad(gone)
	closedWith(t, c, 1012, "closed for now", limit)

	keep := s.dial("/ws/") // gate other keeps
	plain := gone
	plain.Sites = fmt.Sprintf("http://localhost:%d {\n\trespond hello\n}\n", testcaddy.Port(t))
	s.MustLoad(plain)
	echoes(t, keep, "kept without a gate")
}

func TestPromise1PatchByIDDropsNothing(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	s := chat(t, b, "id chat_policy\n\t\tmode auto")
	open := many(s, 20)
	status, body := s.Call("PATCH", "/id/chat_policy", `{"@id":"chat_policy","mode":"off"}`)
	if status != 200 {
		t.Fatalf("patch: %d %s", status, body)
	}
	s.refused("/ws/", http.StatusServiceUnavailable)
	allEcho(t, open, "closing keep")
}
