package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/wsgate/wsgate/internal/testcaddy"
)

func asClose(err error, ce *websocket.CloseError) bool { return errors.As(err, ce) }

func TestA1PrefixIsReplaced(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	s := recipe(t, "A1", "BACKEND_PORT="+b.port())
	for path, want := range map[string]string{"/ws/": "/", "/ws/room?x=1": "/room?x=1", "/ws/a%2Fb": "/a%2Fb", "/ws/ws/": "/ws/"} {
		echoes(t, s.dial(path), path)
		if asked := b.asked(); asked[len(asked)-1] != want {
			t.Errorf("%s reached the backend as %s, want %s", path, asked[len(asked)-1], want)
		}
	}
}

func TestA2OnlyHandshakesAreTaken(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	s := recipe(t, "A2", "BACKEND_PORT="+b.port())
	if status, body := s.get("/page"); status != 200 || body != "the site is still here" {
		t.Errorf("plain request: %d %q", status, body)
	}
	echoes(t, s.dial("/anywhere"), "hello")
	if got := b.asked(); !slices.Equal(got, []string{"/anywhere"}) {
		t.Errorf("backend was asked for %v", got)
	}
}

func TestA3OrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "page "+r.URL.Path)
	}))
	t.Cleanup(page.Close)
	s := recipe(t, "A3", "BACKEND_PORT="+b.port(), "SITE_PORT="+portOf(page.Listener.Addr()))
	echoes(t, s.dial("/ws/chat"), "hello")
	if _, body := s.get("/index"); body != "page /index" {
		t.Errorf("got %q", body)
	}
	if _, body := s.get("/ws/plain"); body != "page /ws/plain" {
		t.Errorf("a plain request below /ws/ got %q", body)
	}
}

func TestA4CertificateIsVerified(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	b.StartTLS()
	t.Cleanup(b.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.Certificate().Raw})
	if err := os.WriteFile(file, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	s := recipe(t, "A4", "BACKEND_PORT="+b.port(), "BACKEND_CA="+file)
	s.options.Sites = strings.Replace(s.options.Sites, "tls_trust_pool", "tls_server_name example.com\n\t\t\ttls_trust_pool", 1)
	s.MustLoad(s.options) // httptest's certificate is example.com's
	echoes(t, s.dial("/ws/"), "trusted")

	unknown := s.options
	unknown.Sites = strings.Replace(unknown.Sites, "tls_trust_pool file "+file, "", 1)
	s.MustLoad(unknown)
	s.refused("/ws/", http.StatusBadGateway)

	skip := s.options
	skip.Sites = strings.Replace(skip.Sites, "tls_trust_pool file "+file, "tls_insecure_skip_verify", 1)
	s.MustLoad(skip)
	echoes(t, s.dial("/ws/"), "not verified, as typed")
}

func TestA5TLSTowardsTheClient(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	port := testcaddy.Port(t)
	s := recipe(t, "A5", "BACKEND_PORT="+b.port(), fmt.Sprintf("HTTPS_PORT=%d", port))
	root := filepath.Join(s.Dir, "data", "caddy", "pki", "authorities", "local", "root.crt")
	pool := x509.NewCertPool()
	s.Await("the internal authority", func() bool {
		text, err := os.ReadFile(root)
		return err == nil && pool.AppendCertsFromPEM(text)
	})
	s.url = fmt.Sprintf("wss://localhost:%d", port)
	s.upgrades = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	s.Await("a certificate", func() bool {
		c, _, err := s.try("/ws/")
		if err != nil {
			return false
		}
		echoes(t, c, "over TLS")
		return true
	})
}

func TestA6CapturedPathStaysRaw(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	s := recipe(t, "A6", "BACKEND_PORT="+b.port())
	for path, want := range map[string]string{
		"/ws/room":       "/room",
		"/ws/a%2Fb":      "/a%2Fb",
		"/ws/what%3Fnow": "/what%3Fnow",
		"/ws/":           "/",
		"/ws/q?token=1":  "/q?token=1",
	} {
		echoes(t, s.dial(path), path)
		if asked := b.asked(); asked[len(asked)-1] != want {
			t.Errorf("%s reached the backend as %s, want %s", path, asked[len(asked)-1], want)
		}
	}
	if status, _ := s.get("/ws/room"); status != 200 { // Caddy's empty answer: nobody took it
		t.Errorf("a plain GET: %d", status)
	}
	if n := len(b.asked()); n != 5 {
		t.Errorf("the backend saw %d requests, want 5", n)
	}
}

func TestA7NeverADoubleSlash(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	s := recipe(t, "A7", "BACKEND_PORT="+b.port())
	for path, want := range map[string]string{"/ws": "/", "/ws/": "/", "/ws/room": "/room"} {
		echoes(t, s.dial(path), path)
		if asked := b.asked(); asked[len(asked)-1] != want {
			t.Errorf("%s reached the backend as %s, want %s", path, asked[len(asked)-1], want)
		}
	}
	a1 := s.options
	head, _, _ := strings.Cut(s.options.Sites, "\t@ws")
	a1.Sites = head + "\twsgate /ws/* ws://localhost:" + b.port() + "/base/\n}\n"
	s.MustLoad(a1)
	for path, want := range map[string]string{"/ws/": "/base/", "/ws/room": "/base/room"} {
		echoes(t, s.dial(path), path)
		if asked := b.asked(); asked[len(asked)-1] != want {
			t.Errorf("%s reached the backend as %s, want %s", path, asked[len(asked)-1], want)
		}
	}
}

func TestA8GuardAndProxyAreOne(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	s := recipe(t, "A8", "BACKEND_PORT="+b.port())
	for _, path := range []string{"/ws", "/ws/", "/ws/x", "//ws/x", "/ws//x", "/x/../ws/y", "/WS/x", "/%77s/x", "/ws%2Fx"} {
		if c, resp, err := s.try(path); err == nil {
			_ = c.CloseNow()
			t.Errorf("%s passed the guard: %v", path, resp.Status)
		}
	}
	if got := b.asked(); len(got) != 0 {
		t.Errorf("the backend was asked for %v", got)
	}
	s.Switch("guarded", `{"mode":"on"}`) // the same matcher lets through what it has kept
	echoes(t, s.dial("/ws/x"), "through the guard")
	for _, path := range []string{"/ws", "/wsx", "/x/ws/"} {
		if c, resp, err := s.try(path); err == nil {
			_ = c.CloseNow()
			t.Errorf("%s passed beside the guard: %v", path, resp.Status)
		}
	}
	if got := b.asked(); len(got) != 1 || got[0] != "/x" {
		t.Errorf("the backend was asked for %v", got)
	}
}

func TestA9OpenTunnelsAreCounted(t *testing.T) {
	t.Parallel()
	one, two := plainBackend(t), plainBackend(t)
	s := recipe(t, "A9", "BACKEND_PORT="+one.port(), "BACKEND2_PORT="+two.port())
	var open []*websocket.Conn
	for i := range 6 {
		c := s.dial("/ws/")
		echoes(t, c, fmt.Sprint(i))
		open = append(open, c)
	}
	if one.tunnels() != 3 || two.tunnels() != 3 {
		t.Fatalf("six tunnels went %d to %d", one.tunnels(), two.tunnels())
	}
	s.MustLoad(testcaddy.Options{Sites: strings.Replace(s.options.Sites, "fail_duration 10s", "fail_duration 11s", 1)})
	for _, c := range open {
		echoes(t, c, "still here")
	}
	for range 2 {
		echoes(t, s.dial("/ws/"), "one more")
	}
	if one.tunnels() != 4 || two.tunnels() != 4 {
		t.Errorf("eight tunnels over a reload went %d to %d", one.tunnels(), two.tunnels())
	}
	one.Close()
	one.die()
	s.Await("the lost backend's tunnels to end", func() bool { return one.tunnels() == 0 })
	for range 3 {
		echoes(t, s.dial("/ws/"), "failed over")
	}
}

func TestA10OffMeansOff(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	s := recipe(t, "A10", "BACKEND_PORT="+b.port())
	echoes(t, s.dial("/ws/"), "on")
	s.Switch("chat", `{"mode":"off","reason":"maintenance"}`)
	s.refused("/ws/", http.StatusServiceUnavailable)
	if _, body := s.get("/"); body != "the site is still here" {
		t.Errorf("the site: %q", body)
	}
	if n := len(b.asked()); n != 1 {
		t.Errorf("the backend was asked %d times", n)
	}
}
