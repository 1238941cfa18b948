package testcaddy

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"time"
)

// client keeps no connection: a configuration may replace the admin endpoint.
var client = &http.Client{
	Timeout:   20 * time.Second,
	Transport: &http.Transport{DisableKeepAlives: true},
}

// Call sends a request to the admin endpoint and returns status and body.
func (s *Server) Call(method, path, body string, header ...string) (int, string) {
	s.t.Helper()
	status, text := s.try(method, path, body, header)
	if status == 0 {
		s.t.Fatalf("%s %s: %s", method, path, text)
	}
	if method != http.MethodGet && !strings.HasPrefix(path, "/wsgate/") {
		s.awaitHandOver()
	}
	return status, text
}

// awaitHandOver returns when a configuration that was replaced no longer
// listens, so that the next connection reaches the one in force.
func (s *Server) awaitHandOver() {
	s.t.Helper()
	s.Await("the previous configuration's listeners to close", func() bool { return s.sharedAddress() == "" })
}

func (s *Server) try(method, path, body string, header []string) (int, string) {
	req, err := http.NewRequest(method, "http://"+s.Admin+path, strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

// Get reads a JSON answer of the admin endpoint.
func (s *Server) Get(path string, into any) {
	s.t.Helper()
	status, body := s.Call("GET", path, "")
	if status != http.StatusOK {
		s.t.Fatalf("GET %s: %d %s", path, status, body)
	}
	if err := json.Unmarshal([]byte(body), into); err != nil {
		s.t.Fatalf("GET %s: %v in %s", path, err, body)
	}
}

// Load replaces the configuration, and returns status and answer.
func (s *Server) Load(o Options) (int, string) {
	s.t.Helper()
	return s.Call("POST", "/load", s.Caddyfile(o), "Content-Type", "text/caddyfile")
}

// MustLoad replaces the configuration, or fails the test.
func (s *Server) MustLoad(o Options) {
	s.t.Helper()
	if status, body := s.Load(o); status != http.StatusOK {
		s.t.Fatalf("load: %d %s", status, body)
	}
}

// Switch switches a gate, or fails the test.
func (s *Server) Switch(gate, body string) map[string]any {
	s.t.Helper()
	status, text := s.Call("POST", "/wsgate/gates/"+gate, body)
	if status != http.StatusOK {
		s.t.Fatalf("switch %s %s: %d %s", gate, body, status, text)
	}
	var state map[string]any
	if err := json.Unmarshal([]byte(text), &state); err != nil {
		s.t.Fatal(err)
	}
	return state
}

// Gate returns a gate's status.
func (s *Server) Gate(name string) map[string]any {
	s.t.Helper()
	var state map[string]any
	s.Get("/wsgate/gates/"+name, &state)
	return state
}

// CLI runs a caddy subcommand against this server, and returns what it
// printed and its exit code.
func (s *Server) CLI(args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	cmd := exec.Command(self(s.t), args...) //nolint:gosec // ourselves
	cmd.Env, cmd.Dir = s.env, s.Dir
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	if len(args) > 0 && args[0] == "reload" {
		s.awaitHandOver()
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// Log returns what Caddy logged so far.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logs.String()
}

// Lines returns the log lines with a message, decoded.
func (s *Server) Lines(message string) []map[string]any {
	var lines []map[string]any
	for text := range strings.Lines(s.Log()) {
		var line map[string]any
		if json.Unmarshal([]byte(text), &line) == nil && line["msg"] == message {
			lines = append(lines, line)
		}
	}
	return lines
}

// Await polls until ok returns true, or fails the test after 15 s.
func (s *Server) Await(what string, ok func() bool) {
	s.t.Helper()
	Await(s.t, what, ok)
}
