//go:build unix

package wsgate

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// A Caddyfile that comes from a pipe can be read only once: a second open waits
// for ever.
func TestAdaptingOpensNoFile(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "Caddyfile")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	const text = "http://localhost {\n\trewrite * /index.html\n\tredir * /x\n\thandle * {\n\t\trespond hello\n\t}\n\twsgate /ws/* ws://localhost:8080\n}\n"
	done := make(chan error, 1)
	go func() {
		_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": pipe})
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("adapting waits for the file")
	}
}
