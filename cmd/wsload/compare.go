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
	"slices"
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

// aboutMemory says that a row needs a process that has not been loaded before.
func (r row) aboutMemory() bool { return strings.Contains(r.figure, "PSS") }

// aboutProcess says that a row needs a process to look at.
func (r row) aboutProcess() bool { return r.aboutMemory() || strings.Contains(r.figure, "CPU") }

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

// directives are the sides there are, each with what its Caddyfile says.
var directives = map[string]string{"stock": "reverse_proxy ", "wsgate": "wsgate ws://"}

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
	c := &comparison{o: o, work: work, backend: back.address, peers: o.peers}
	c.sides = strings.Split(o.sides, ",")
	wanted := slices.DeleteFunc(slices.Clone(rows), func(r row) bool {
		return o.tls && r.plainOnly || !strings.Contains(r.name, o.only)
	})
	if err := c.run(wanted); err != nil {
		return nil, err
	}
	found, bars := c.report(os.Stdout)
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

// comparison collects the figures of all sides and peers.
type comparison struct {
	o             *options
	work, backend string
	sides         []string
	peers         []peer
	found         map[string]map[string][]float64 // row, side or peer
}

func (c *comparison) run(wanted []row) error {
	for i := range c.peers {
		if err := c.meet(&c.peers[i]); err != nil {
			return err
		}
	}
	c.memory(wanted)
	for round := range c.o.rounds {
		for _, r := range wanted {
			if err := c.round(round, r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *comparison) round(round int, r row) error {
	for _, side := range c.sides {
		fmt.Fprintf(os.Stderr, "round %d: %s, %s\n", round+1, r.name, side)
		v, err := c.measure(side, r)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", r.name, side, err)
		}
		c.add(r, side, v)
	}
	for i := range c.peers {
		if p := &c.peers[i]; !r.aboutMemory() && (p.pid != 0 || !r.aboutProcess()) {
			fmt.Fprintf(os.Stderr, "round %d: %s, %s\n", round+1, r.name, p.name)
			c.load(p, r)
		}
	}
	return nil
}

func (c *comparison) add(r row, name string, v float64) {
	if c.found == nil {
		c.found = map[string]map[string][]float64{}
	}
	if c.found[r.name] == nil {
		c.found[r.name] = map[string][]float64{}
	}
	c.found[r.name][name] = append(c.found[r.name][name], v)
}

// options are those of a row, the same for all.
func (c *comparison) options(r row) options {
	o := *c.o
	o.duration = min(o.duration, 3*time.Second)
	r.set(&o)
	return o
}

// measure runs one row against a fresh process.
func (c *comparison) measure(side string, r row) (float64, error) {
	s, err := c.start(side)
	if err != nil {
		return 0, err
	}
	defer s.stop()
	o := c.options(r)
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

// report prints the table, or returns its figures; the ratios are for a chart.
func (c *comparison) report(w io.Writer) (report, []bar) {
	head := append(append([]string{"what"}, c.sides...), "ratio", "goal", "")
	for _, p := range c.peers {
		head = append(head, p.name, "ratio")
	}
	lines := [][]string{head}
	var out report
	var bars []bar
	for _, r := range rows {
		found := c.found[r.name]
		if len(found) == 0 {
			continue
		}
		line := []string{r.name}
		for _, side := range c.sides {
			m := median(found[side])
			out = append(out, figure{r.name + ", " + side, m, r.figure})
			line = append(line, number(m))
		}
		first, ratio := median(found[c.sides[0]]), 0.0
		if len(c.sides) > 1 {
			ratio = median(found[c.sides[1]]) / first
		}
		goal := r.goal
		if c.o.tls {
			goal = r.tlsGoal
		}
		out = append(out, figure{r.name + ", ratio", ratio, ""})
		bars = append(bars, bar{r.name, ratio, goal})
		line = append(line, fmt.Sprintf("%.2f", ratio), goalText(goal), met(ratio, goal))
		cells, more := c.besides(r, first)
		out = append(out, more...)
		lines = append(lines, append(line, cells...))
	}
	if !c.o.json {
		table(w, lines)
		return nil, bars
	}
	return out, bars
}

// besides returns what a row has for the peers: figure and ratio of each, or a
// gap where it was not measured.
func (c *comparison) besides(r row, first float64) (cells []string, out report) {
	for _, p := range c.peers {
		found := c.found[r.name][p.name]
		if len(found) == 0 {
			cells = append(cells, "–", "–")
			continue
		}
		m := median(found)
		out = append(out, figure{r.name + ", " + p.name, m, r.figure}, figure{r.name + ", " + p.name + ", ratio", m / first, ""})
		cells = append(cells, number(m), fmt.Sprintf("%.2f", m/first))
	}
	return cells, out
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
