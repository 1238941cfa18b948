package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/filestorage"
	_ "github.com/caddyserver/caddy/v2/modules/logging"
	"go.uber.org/zap"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/registry"
)

// endpointAddr is the address of a real Caddy's admin endpoint, and logFile
// its log. A socket file, because nobody tells which port an admin endpoint
// on port 0 was given.
var endpointAddr, logFile string

func TestMain(m *testing.M) { os.Exit(withCaddy(m)) }

func withCaddy(m *testing.M) int {
	dir, err := os.MkdirTemp("", "wsgate")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "admin.sock")
	endpointAddr, logFile = "unix/"+socket, filepath.Join(dir, "log")
	config, _ := json.Marshal(map[string]any{ // strings: cannot fail
		"admin":   map[string]any{"listen": endpointAddr, "config": map[string]any{"persist": false}},
		"storage": map[string]any{"module": "file_system", "root": dir},
		"logging": map[string]any{"logs": map[string]any{"default": map[string]any{
			"writer": map[string]any{"output": "file", "filename": logFile},
		}}},
	})
	if err := caddy.Load(config, true); err != nil {
		fmt.Fprintln(os.Stderr, "loading the test's Caddy:", err)
		return 1
	}
	defer func() { _ = caddy.Stop() }()
	return m.Run()
}

// gates puts gates in force for one test, as a configuration would. Its
// storage is empty.
func gates(t *testing.T, policies map[string]gate.Policy) *memory {
	t.Helper()
	mem := &memory{values: make(map[string][]byte)}
	c := &registry.Config{Gates: policies, Logger: zap.NewNop(), Storage: mem}
	registry.Begin(c)
	t.Cleanup(func() { registry.End(c) })
	return mem
}

// openTunnels lists n tunnels in a gate, as accepted handshakes would.
func openTunnels(t *testing.T, name string, n int) {
	t.Helper()
	e := registry.Acquire(name, gate.Policy{}, nil)
	t.Cleanup(e.Release)
	for range n {
		tunnel, err := e.Admit(registry.Admission{Upstream: "127.0.0.1:1"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(tunnel.Drop)
	}
}

// flag makes sure that a flag does not outlive its test.
func flag(t *testing.T, name string) {
	t.Helper()
	t.Cleanup(func() { _, _ = registry.DeleteFlag(context.Background(), name, "") })
}

// answer is what the admin endpoint said.
type answer struct {
	status int
	header http.Header
	body   string
}

// call makes a request to the real admin endpoint. headers are "Name: value".
func call(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(endpointAddr, "unix/"))
		},
	}}
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://127.0.0.1"+path, r)
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Del(name)
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

// decode reads an answer that must be 200 with no field that is unknown.
func decode[T any](t *testing.T, a answer) (v T) {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(a.body)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	return v
}

// memory is a storage that can fail.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	broken bool
}

func (m *memory) breakDown(broken bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = broken
}

func (m *memory) Store(_ context.Context, key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken {
		return errors.New("disk full")
	}
	m.values[key] = value
	return nil
}

func (m *memory) Load(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if value, ok := m.values[key]; ok {
		return value, nil
	}
	return nil, fs.ErrNotExist
}

func (m *memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken {
		return errors.New("disk full")
	}
	delete(m.values, key)
	return nil
}

func (m *memory) List(context.Context, string, bool) ([]string, error) { return nil, fs.ErrNotExist }
