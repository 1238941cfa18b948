package main

import (
	"bufio"
	"bytes"
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

// row is a line of the comparison, with the goal of docs/performance.md.
type row struct {
	name, figure string
	run          func(*options) (report, error)
	set          func(*options)
	goal         float64 // ratio to stock; negative: at least; 0: none
	plainOnly    bool
	tlsGoal      float64
}

// rows are what is compared.
var rows = []row{
	{name: "handshake, CPU", figure: "CPU per handshake", run: handshakes, set: func(o *options) { o.count = 3000 }, goal: 0.5, tlsGoal: 0.8},
	{name: "echo 64 B saturated, CPU", figure: "CPU per message", run: echoes, set: func(o *options) { o.tunnels, o.size = 64, 64 }, goal: 0.85, tlsGoal: 1},
	{name: "echo 64 B paced, CPU", figure: "CPU per message", run: echoes, set: func(o *options) { o.tunnels, o.size, o.rate = 200, 64, 4000 }, goal: 0.9, tlsGoal: 1},
	{name: "echo 1 KiB, CPU", figure: "CPU per message", run: echoes, set: func(o *options) { o.tunnels, o.size = 64, 1024 }, tlsGoal: 1},
	{name: "echo 64 KiB, CPU", figure: "CPU per message", run: echoes, set: func(o *options) { o.tunnels, o.size = 16, 64<<10 }, goal: 0.6, tlsGoal: 1},
	{name: "stream 64 KiB, CPU", figure: "CPU per GiB", run: streams, set: func(o *options) { o.size = 64 << 10 }, goal: 0.55, tlsGoal: 1},
	{name: "stream 1 MiB, MiB/s", figure: "MiB a second", run: streams, set: func(o *options) { o.size = 1 << 20 }, goal: -1.2},
	{name: "stream 64 KiB up, CPU", figure: "CPU per GiB", run: streams, set: func(o *options) { o.size, o.down = 64<<10, false }, goal: 0.55, tlsGoal: 1},
	{name: "idle 1 000 tunnels, PSS each", figure: "PSS per tunnel", run: idle, set: func(o *options) { o.tunnels, o.duration = 1000, 2*time.Second }},
	{name: "idle 9 000 tunnels, PSS each", figure: "PSS per tunnel", run: idle, set: func(o *options) { o.tunnels, o.duration = 9000, 3*time.Second }, plainOnly: true},
}

// compare runs every side in turn, round after round.
func compare(o *options) (report, error) {
	work, err := os.MkdirTemp("", "wsload")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(work) }()
	if o.binary == "" {
		o.binary = filepath.Join(work, "built")                             // work/caddy is where Caddy keeps its data
		build := exec.Command("go", "build", "-o", o.binary, "./cmd/caddy") //nolint:gosec // ours
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return nil, fmt.Errorf("building caddy: %w", err)
		}
	}
	back, err := startBackend(o.listen)
	if err != nil {
		return nil, err
	}
	defer back.stop()
	c := &comparison{o: o, work: work, backend: back.address, found: map[string]map[string][]float64{}}
	c.sides = strings.Split(o.sides, ",")
	for round := range o.rounds {
		for _, r := range rows {
			if o.tls && r.plainOnly || !strings.Contains(r.name, o.only) {
				continue
			}
			if err := c.round(round, r); err != nil {
				return nil, err
			}
		}
	}
	found, bars := c.report()
	if o.svg != "" {
		var picture bytes.Buffer
		if err := chart(&picture, c.title(), bars); err != nil {
			return nil, err
		}
		if err := os.WriteFile(o.svg, picture.Bytes(), 0o644); err != nil { //nolint:gosec // meant to be read
			return nil, err
		}
	}
	return found, nil
}

// title is what the chart says on top.
func (c *comparison) title() string {
	over := "plain TCP"
	if c.o.tls {
		over = "TLS"
	}
	return fmt.Sprintf("%s over %s, median of %d rounds", c.sides[len(c.sides)-1], over, c.o.rounds)
}

// comparison collects the figures of all sides.
type comparison struct {
	o             *options
	work, backend string
	sides         []string
	found         map[string]map[string][]float64 // row, side
}

func (c *comparison) round(round int, r row) error {
	if c.found[r.name] == nil {
		c.found[r.name] = map[string][]float64{}
	}
	for _, side := range c.sides {
		fmt.Fprintf(os.Stderr, "round %d: %s, %s\n", round+1, r.name, side)
		v, err := c.measure(side, r)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", r.name, side, err)
		}
		c.found[r.name][side] = append(c.found[r.name][side], v)
	}
	for _, also := range c.o.also {
		name, url, _ := strings.Cut(also, "=")
		o := *c.o
		r.set(&o)
		o.url, o.insecure = url, true
		if rep, err := r.run(&o); err == nil && !strings.Contains(r.figure, "CPU") && !strings.Contains(r.figure, "PSS") {
			c.found[r.name][name] = append(c.found[r.name][name], rep.value(r.figure))
		}
	}
	return nil
}

// measure runs one row against a fresh process.
func (c *comparison) measure(side string, r row) (float64, error) {
	s, err := c.start(side)
	if err != nil {
		return 0, err
	}
	defer s.stop()
	o := *c.o
	o.duration = min(o.duration, 3*time.Second)
	r.set(&o)
	o.url, o.pid, o.insecure = s.address, s.cmd.Process.Pid, true
	rep, err := r.run(&o)
	return rep.value(r.figure), err
}

// server is a process that was started here, and is ended here.
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
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "backend", "--listen", listen) //nolint:gosec // ourselves
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
	if err != nil { // it said why
		s.stop()
		return nil, fmt.Errorf("the backend does not listen on %q", listen)
	}
	s.address = strings.TrimSpace(line)
	return s, nil
}

// start runs Caddy with one side's configuration.
func (c *comparison) start(side string) (*server, error) {
	words := map[string]string{"stock": "reverse_proxy " + c.backend, "wsgate": "wsgate ws://" + c.backend}[side]
	if words == "" {
		return nil, fmt.Errorf("unknown side %q: want stock or wsgate", side)
	}
	port, admin := freePort(), freePort()
	scheme, url := "http", fmt.Sprintf("ws://localhost:%d/", port)
	if c.o.tls {
		scheme, url = "https", fmt.Sprintf("wss://localhost:%d/", port)
	}
	text := fmt.Sprintf("{\n\tadmin 127.0.0.1:%d\n\tpersist_config off\n\tskip_install_trust\n\tlocal_certs\n\tauto_https disable_redirects\n\tservers {\n\t\tprotocols h1 h2\n\t}\n\tlog {\n\t\tlevel WARN\n\t}\n}\n%s://localhost:%d {\n\t%s\n}\n", admin, scheme, port, words)
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

// report prints the table, and returns its figures and ratios.
func (c *comparison) report() (report, []bar) {
	names := append([]string(nil), c.sides...)
	for _, also := range c.o.also {
		name, _, _ := strings.Cut(also, "=")
		names = append(names, name)
	}
	head := append([]string{"what"}, names...)
	lines := [][]string{append(head, "ratio", "goal", "")}
	var out report
	var bars []bar
	for _, r := range rows {
		sides := c.found[r.name]
		if len(sides) == 0 {
			continue
		}
		line := []string{r.name}
		for _, n := range names {
			m := median(sides[n])
			out = append(out, figure{r.name + ", " + n, m, r.figure})
			line = append(line, number(m))
		}
		ratio := 0.0
		if len(c.sides) > 1 {
			ratio = median(sides[c.sides[1]]) / median(sides[c.sides[0]])
		}
		goal := r.goal
		if c.o.tls {
			goal = r.tlsGoal
		}
		out = append(out, figure{r.name + ", ratio", ratio, ""})
		bars = append(bars, bar{r.name, ratio, goal})
		lines = append(lines, append(line, fmt.Sprintf("%.2f", ratio), goalText(goal), met(ratio, goal)))
	}
	if !c.o.json {
		table(os.Stdout, lines)
		return nil, bars
	}
	return out, bars
}

func goalText(goal float64) string {
	switch {
	case goal == 0:
		return ""
	case goal < 0:
		return fmt.Sprintf("≥ %.2f", -goal)
	}
	return fmt.Sprintf("≤ %.2f", goal)
}

func met(ratio, goal float64) string {
	switch {
	case goal == 0:
		return ""
	case goal > 0 && ratio <= goal, goal < 0 && ratio >= -goal:
		return "met"
	}
	return "not met"
}
