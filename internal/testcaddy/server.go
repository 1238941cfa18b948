package testcaddy

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

// roleVariable is set in the environment of a test binary that is to run Caddy.
const roleVariable = "WSGATE_TEST_CADDY"

// startLimit is how long a Caddy may take until its admin endpoint answers.
const startLimit = 30 * time.Second

// Main runs the tests of a package, or Caddy if the process was started by
// [Start] or [Server.CLI].
func Main(m *testing.M) {
	if os.Getenv(roleVariable) != "" {
		caddycmd.Main()
		return
	}
	os.Exit(m.Run())
}

// Server is a running Caddy.
type Server struct {
	// Admin is the host:port of the admin endpoint.
	Admin string
	// Dir is Caddy's home: configuration, data, storage.
	Dir string

	t   testing.TB
	env []string

	mu   sync.Mutex // guards the fields below
	cmd  *exec.Cmd
	logs bytes.Buffer
	done chan struct{}
}

// Options of a Caddy.
type Options struct {
	// Global is put into the Caddyfile's global options.
	Global string
	// Sites is the rest of the Caddyfile.
	Sites string
	// Env is added to the environment, as KEY=value.
	Env []string
}

// Start runs Caddy with a Caddyfile until the test ends. It returns when the
// admin endpoint answers.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{Admin: fmt.Sprintf("127.0.0.1:%d", Port(t)), Dir: t.TempDir(), t: t}
	s.env = append(os.Environ(), roleVariable+"=1",
		"HOME="+s.Dir, "XDG_CONFIG_HOME="+filepath.Join(s.Dir, "config"), "XDG_DATA_HOME="+filepath.Join(s.Dir, "data"))
	s.env = append(s.env, o.Env...)
	s.Run(o)
	t.Cleanup(s.Kill)
	return s
}

// Caddyfile returns the whole Caddyfile that Start and Load make of o.
func (s *Server) Caddyfile(o Options) string {
	return fmt.Sprintf(`{
	admin %s
	persist_config off
	skip_install_trust
	local_certs
	auto_https disable_redirects
	log {
		output stderr
		format json
	}
	%s
}
%s
`, s.Admin, o.Global, o.Sites)
}

// Run starts the process again, after Stop or Kill.
func (s *Server) Run(o Options) {
	s.t.Helper()
	file := filepath.Join(s.Dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(s.Caddyfile(o)), 0o600); err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(self(s.t), "run", "--config", file, "--adapter", "caddyfile") //nolint:gosec // ourselves
	cmd.Env, cmd.Dir = s.env, s.Dir
	cmd.Stderr = &lockedWriter{s: s}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	s.mu.Lock()
	s.cmd, s.done = cmd, done
	s.mu.Unlock()
	s.awaitAdmin(done)
}

// awaitAdmin returns when the admin endpoint answers.
func (s *Server) awaitAdmin(done chan struct{}) {
	s.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(startLimit)
	for {
		select {
		case <-done:
			s.t.Fatalf("caddy ended at once:\n%s", s.Log())
		case <-limit:
			s.t.Fatalf("caddy's admin endpoint does not answer:\n%s", s.Log())
		case <-tick.C:
			if status, _ := s.try("GET", "/config/", "", nil); status == 200 && strings.Contains(s.Log(), "serving initial configuration") {
				return
			}
		}
	}
}

// Stop sends SIGTERM and returns how long the process took to end. It fails
// the test if that is more than limit.
func (s *Server) Stop(limit time.Duration) time.Duration {
	s.t.Helper()
	cmd, done := s.process()
	began := time.Now()
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-done:
	case <-time.After(limit):
		_ = cmd.Process.Signal(syscall.SIGABRT)
		<-done
		s.t.Fatalf("caddy still runs %s after SIGTERM:\n%s", limit, s.Log())
	}
	return time.Since(began)
}

// Kill ends the process at once, with SIGKILL.
func (s *Server) Kill() {
	cmd, done := s.process()
	_ = cmd.Process.Kill()
	<-done
}

// PID returns the process's id.
func (s *Server) PID() int {
	cmd, _ := s.process()
	return cmd.Process.Pid
}

func (s *Server) process() (*exec.Cmd, chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd, s.done
}

// lockedWriter collects the log.
type lockedWriter struct{ s *Server }

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	return w.s.logs.Write(p)
}

// self is the path of the test binary.
func self(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
