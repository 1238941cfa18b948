package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// server is a process that wsload starts and stops.
type server struct {
	cmd     *exec.Cmd
	address string
	in      io.Closer
}

func (s *server) stop() {
	if s.in != nil {
		_ = s.in.Close()
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(10*time.Second, func() { _ = s.cmd.Process.Kill() })
	_ = s.cmd.Wait()
	late.Stop()
}

func startBackend(listen string) (*server, error) {
	return startSelf("backend", "--listen", listen)
}

// startSelf runs a verb that listens, prints where, and ends with its standard
// input.
func startSelf(args ...string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, args...) //nolint:gosec // ourselves
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd, in: in}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil { // the backend has written why to standard error
		s.stop()
		return nil, fmt.Errorf("%s does not listen on %q", args[0], args[len(args)-1])
	}
	s.address = strings.TrimSpace(line)
	return s, nil
}

// start runs Caddy with one side's configuration.
func (c *comparison) start(side string) (*server, error) {
	directive, ok := directives[side]
	if !ok {
		return nil, fmt.Errorf("unknown side %q: want stock or wsgate", side)
	}
	port, admin := freePort(), freePort()
	scheme, url := "http", fmt.Sprintf("ws://localhost:%d/", port)
	if c.o.tls {
		scheme, url = "https", fmt.Sprintf("wss://localhost:%d/", port)
	}
	text := fmt.Sprintf("{\n\tadmin 127.0.0.1:%d\n\tpersist_config off\n\tskip_install_trust\n\tlocal_certs\n\tauto_https disable_redirects\n\tservers {\n\t\tprotocols h1 h2\n\t}\n\tlog {\n\t\tlevel WARN\n\t}\n}\n%s://localhost:%d {\n\t%s\n}\n", admin, scheme, port, directive+c.backend)
	file := filepath.Join(c.work, "Caddyfile")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(c.o.binary, "run", "--config", file, "--adapter", "caddyfile") //nolint:gosec // as given
	cmd.Env = append(os.Environ(), "HOME="+c.work, "XDG_CONFIG_HOME="+c.work, "XDG_DATA_HOME="+c.work)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd, address: url}
	o := &options{url: url, insecure: true}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if conn, err := dial(o, "", 64); err == nil {
			_ = conn.Close()
			if resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/config/", admin)); err == nil {
				_ = resp.Body.Close()
			}
			return s, nil
		}
	}
	s.stop()
	return nil, errors.New("caddy does not serve")
}

func freePort() int {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().(*net.TCPAddr).Port
}
