// Package testadmin runs a Caddy in the process of the tests. The tests of the
// admin calls and of the command use its admin endpoint.
//
// A process can run only one Caddy. So its address ([Addr]) and its log
// ([LogFile]) are process-wide variables, which [Main] sets once.
package testadmin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/filestorage"
	_ "github.com/caddyserver/caddy/v2/modules/logging"
	"go.uber.org/zap"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/registry"
)

// Addr is the address of the Caddy's admin endpoint. It is a socket file,
// because nobody can find out which port Caddy chose for an address with port
// 0.
var Addr string

// LogFile is the Caddy's log.
var LogFile string

// Main runs the tests of a package beside a Caddy.
func Main(m *testing.M) { os.Exit(withCaddy(m)) }

func withCaddy(m *testing.M) int {
	dir, err := os.MkdirTemp("", "wsgate")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	socket := filepath.Join(dir, "admin.sock")
	Addr, LogFile = "unix/"+socket, filepath.Join(dir, "log")
	config, _ := json.Marshal(map[string]any{ // strings: cannot fail
		"admin":   map[string]any{"listen": Addr, "config": map[string]any{"persist": false}},
		"storage": map[string]any{"module": "file_system", "root": dir},
		"logging": map[string]any{"logs": map[string]any{"default": map[string]any{
			"writer": map[string]any{"output": "file", "filename": LogFile},
		}}},
	})
	if err := caddy.Load(config, true); err != nil {
		fmt.Fprintln(os.Stderr, "loading the test's Caddy:", err)
		return 1
	}
	defer func() { _ = caddy.Stop() }()
	return m.Run()
}

// Gates puts gates in force for one test, as a configuration would. Its
// storage is empty.
func Gates(t *testing.T, policies map[string]gate.Policy) *Memory {
	t.Helper()
	mem := &Memory{values: make(map[string][]byte)}
	c := &registry.Config{Gates: policies, Logger: zap.NewNop(), Storage: mem}
	registry.Begin(c)
	t.Cleanup(func() { registry.End(c) })
	return mem
}

// OpenTunnels lists n tunnels in a gate, as accepted handshakes would.
func OpenTunnels(t *testing.T, name string, n int) {
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

// Flag makes sure that a flag does not outlive its test.
func Flag(t *testing.T, name string) {
	t.Helper()
	t.Cleanup(func() { _, _ = registry.DeleteFlag(context.Background(), name, "") })
}

// Memory is a storage that can fail.
type Memory struct {
	mu     sync.Mutex
	values map[string][]byte
	broken bool
}

// BreakDown makes writes fail, or work again.
func (m *Memory) BreakDown(broken bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = broken
}

// Store implements registry.Storage.
func (m *Memory) Store(_ context.Context, key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken {
		return errors.New("disk full")
	}
	m.values[key] = value
	return nil
}

// Load implements registry.Storage.
func (m *Memory) Load(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if value, ok := m.values[key]; ok {
		return value, nil
	}
	return nil, fs.ErrNotExist
}

// Delete implements registry.Storage.
func (m *Memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken {
		return errors.New("disk full")
	}
	delete(m.values, key)
	return nil
}

// List implements registry.Storage.
func (m *Memory) List(context.Context, string, bool) ([]string, error) { return nil, fs.ErrNotExist }
