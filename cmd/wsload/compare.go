package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// row is one line of the table, with its goal from docs/performance.md.
type row struct {
	name, figure string
	run          func(*options) (report, error)
	set          func(*options)
	goal         float64 // at most this ratio to stock; negative: at least; 0: no goal
	plainOnly    bool
	tlsGoal      float64
}

// aboutMemory reports whether a row measures memory. Such a row needs a process
// that has carried no load before.
func (r row) aboutMemory() bool { return strings.Contains(r.figure, "PSS") }

// aboutProcess reports whether a row needs the id of the server's process.
func (r row) aboutProcess() bool { return aboutProcess(r.figure) }

// rows are the lines of the table.
var rows = []row{
	{name: "handshake, CPU", figure: "CPU per handshake", run: handshakes, set: func(o *options) { o.count = 3000 }, goal: 0.55, tlsGoal: 0.75},
	{name: "echo 64 B saturated, CPU", figure: "CPU per message", run: echoes, set: func(o *options) { o.tunnels, o.size = 64, 64 }, goal: 0.85, tlsGoal: 1},
	{name: "echo 64 B paced, CPU", figure: "CPU per message", run: echoes, set: every(50*time.Millisecond, 200, 64), goal: 0.55, tlsGoal: 1},
	{name: "echo 64 B every 250 ms, CPU", figure: "CPU per message", run: echoes, set: every(250*time.Millisecond, 1000, 64), goal: 0.6, tlsGoal: 1},
	{name: "echo 64 B every second, CPU", figure: "CPU per message", run: echoes, set: every(time.Second, 1000, 64), goal: 0.6, tlsGoal: 1},
	{name: "echo 1 KiB, CPU", figure: "CPU per message", run: echoes, set: func(o *options) { o.tunnels, o.size = 64, 1024 }, tlsGoal: 1},
	{name: "echo 40 KiB every 200 ms, CPU", figure: "CPU per message", run: echoes, set: every(200*time.Millisecond, 50, 40<<10), goal: 0.6, tlsGoal: 1},
	{name: "echo 64 KiB every 200 ms, CPU", figure: "CPU per message", run: echoes, set: every(200*time.Millisecond, 50, 64<<10), goal: 0.6, tlsGoal: 1},
	{name: "echo 64 KiB, CPU", figure: "CPU per message", run: echoes, set: func(o *options) { o.tunnels, o.size = 16, 64<<10 }, goal: 0.55, tlsGoal: 1},
	{name: "stream 64 KiB, CPU", figure: "CPU per GiB", run: streams, set: func(o *options) { o.size = 64 << 10 }, goal: 0.55, tlsGoal: 1},
	{name: "stream 1 MiB, MiB/s", figure: "MiB a second", run: streams, set: func(o *options) { o.size = 1 << 20 }, goal: -1.2},
	{name: "stream 64 KiB up, CPU", figure: "CPU per GiB", run: streams, set: func(o *options) { o.size, o.down = 64<<10, false }, goal: 0.55, tlsGoal: 1},
	{name: "stream 16 KiB on 4, CPU", figure: "CPU per GiB", run: streams, set: several(4, 16<<10, true), tlsGoal: 1},
	{name: "stream 16 KiB on 4, MiB/s", figure: "MiB a second", run: streams, set: several(4, 16<<10, true), goal: -0.97, tlsGoal: -1},
	{name: "stream 64 KiB on 4, CPU", figure: "CPU per GiB", run: streams, set: several(4, 64<<10, true), tlsGoal: 1},
	{name: "stream 64 KiB on 4, MiB/s", figure: "MiB a second", run: streams, set: several(4, 64<<10, true), goal: -0.97, tlsGoal: -1},
	{name: "stream 64 KiB on 4 up, CPU", figure: "CPU per GiB", run: streams, set: several(4, 64<<10, false), tlsGoal: 1},
	{name: "stream 64 KiB on 16, CPU", figure: "CPU per GiB", run: streams, set: several(16, 64<<10, true), tlsGoal: 1},
	{name: "stream 64 KiB on 16, MiB/s", figure: "MiB a second", run: streams, set: several(16, 64<<10, true), goal: -0.97, tlsGoal: -1},
	{name: "stream 1 MiB on 4, CPU", figure: "CPU per GiB", run: streams, set: several(4, 1<<20, true), goal: 0.6, tlsGoal: 1},
	{name: "idle 1 000 tunnels, PSS each", figure: "PSS per tunnel", run: idle, set: func(o *options) { o.tunnels, o.duration = 1000, 2*time.Second }},
	{name: "idle 9 000 tunnels, PSS each", figure: "PSS per tunnel", run: idle, set: func(o *options) { o.tunnels, o.duration = 9000, 3*time.Second }, plainOnly: true},
}

// every sets the options for tunnels that each send a message once in a while.
// One turn is as long as a whole round of another row. In a shorter turn the start
// of the tunnels would be the largest part.
func every(pause time.Duration, tunnels, size int) func(*options) {
	return func(o *options) {
		o.tunnels, o.size, o.rate = tunnels, size, int(float64(tunnels)/pause.Seconds())
		o.duration *= turns
	}
}

// several sets the options for several streams at once.
func several(streams, size int, down bool) func(*options) {
	return func(o *options) { o.streams, o.size, o.down = streams, size, down }
}

// directives has the directive of each side, by the side's name.
var directives = map[string]string{"stock": "reverse_proxy ", "wsgate": "wsgate ws://"}

// compare measures all sides in turn, for several rounds.
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
	c := &comparison{o: o, work: work, backend: back.address, peers: o.peers, sides: strings.Split(o.sides, ",")}
	if o.splice && !o.tls {
		f, err := startSelf("forward", "--to", back.address)
		if err != nil {
			return nil, err
		}
		defer f.stop()
		c.peers = append(c.peers, peer{name: "splice", url: "ws://" + f.address + "/", pid: f.cmd.Process.Pid})
	}
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

// title returns the title of the chart.
func (c *comparison) title() string {
	over := "plain TCP"
	if c.o.tls {
		over = "TLS"
	}
	return fmt.Sprintf("%s over %s, median of %d rounds, four turns each", c.sides[len(c.sides)-1], over, c.o.rounds)
}

// comparison collects the figures of all sides and peers.
type comparison struct {
	o             *options
	work, backend string
	sides         []string
	peers         []peer
	figures       map[string]map[string][]float64 // row, side or peer
}

func (c *comparison) run(wanted []row) error {
	for i := range c.peers {
		if err := c.checkPeer(&c.peers[i]); err != nil {
			return err
		}
	}
	c.measurePeerMemory(wanted)
	for round := range c.o.rounds {
		for _, r := range wanted {
			if err := c.round(round, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// turns is how many turns each server has in a round. A machine that others
// share may be half as fast for a while. Short turns one after the other meet
// about the same speed.
const turns = 4

// round measures a row once, with fresh processes.
func (c *comparison) round(round int, r row) error {
	fmt.Fprintf(os.Stderr, "round %d: %s\n", round+1, r.name)
	if r.aboutMemory() {
		for _, side := range c.sides {
			if err := c.measureFresh(side, r); err != nil {
				return err
			}
		}
		return nil
	}
	var all []contender
	for _, side := range c.sides {
		s, err := c.start(side)
		if err != nil {
			return fmt.Errorf("%s: %w", side, err)
		}
		defer s.stop()
		all = append(all, contender{name: side, url: s.address, pid: s.cmd.Process.Pid})
	}
	for _, p := range c.peers {
		if p.pid != 0 || !r.aboutProcess() {
			all = append(all, contender{name: p.name, url: p.url, pid: p.pid, peer: true})
		}
	}
	for turn := range 1 + turns { // the first turn warms up
		for _, x := range all {
			v, err := c.measure(x, r, turns)
			switch {
			case err != nil && !x.peer:
				return err
			case err != nil:
				fmt.Fprintf(os.Stderr, "not measured: %v\n", err)
				v = math.NaN()
			}
			if turn > 0 {
				c.add(r, x.name, v)
			}
		}
		slices.Reverse(all)
	}
	return nil
}

// contender is a server that is measured in turn with others.
type contender struct {
	name, url string
	pid       int
	peer      bool        // may fail: it may have limits of its own
	start     *processUse // see options
}

// measure runs one of several equal parts of a row, and returns its figure.
func (c *comparison) measure(x contender, r row, parts int) (float64, error) {
	o := *c.o
	o.duration = min(o.duration, 3*time.Second)
	r.set(&o)
	o.duration, o.count = o.duration/time.Duration(parts), o.count/parts
	o.url, o.pid, o.start, o.insecure = x.url, x.pid, x.start, true
	rep, err := r.run(&o)
	if err != nil {
		return 0, fmt.Errorf("%s, %s: %w", r.name, x.name, err)
	}
	return rep.value(r.figure), nil
}

// measureFresh measures one row of a side with a new process.
func (c *comparison) measureFresh(side string, r row) error {
	s, err := c.start(side)
	if err != nil {
		return fmt.Errorf("%s: %w", side, err)
	}
	defer s.stop()
	v, err := c.measure(contender{name: side, url: s.address, pid: s.cmd.Process.Pid}, r, 1)
	if err == nil {
		c.add(r, side, v)
	}
	return err
}

// add stores the figure of a turn. NaN: the turn has none.
func (c *comparison) add(r row, name string, v float64) {
	if c.figures == nil {
		c.figures = map[string]map[string][]float64{}
	}
	if c.figures[r.name] == nil {
		c.figures[r.name] = map[string][]float64{}
	}
	c.figures[r.name][name] = append(c.figures[r.name][name], v)
}

// report prints the table, or returns its figures if JSON is wanted. The bars
// are for a chart.
func (c *comparison) report(w io.Writer) (report, []bar) {
	head := append(append([]string{"what"}, c.sides...), "ratio", "quartiles", "goal", "")
	for _, p := range c.peers {
		head = append(head, p.name, "ratio")
	}
	lines := [][]string{head}
	var out report
	var bars []bar
	for _, r := range rows {
		found := c.figures[r.name]
		if len(found) == 0 {
			continue
		}
		line := []string{r.name}
		for _, side := range c.sides {
			m := median(found[side])
			out = append(out, figure{r.name + ", " + side, m, r.figure})
			line = append(line, number(m))
		}
		var each []float64
		if len(c.sides) > 1 {
			each = ratios(found[c.sides[1]], found[c.sides[0]])
		}
		ratio := median(each)
		goal := r.goal
		if c.o.tls {
			goal = r.tlsGoal
		}
		out = append(out, figure{r.name + ", ratio", ratio, ""}, figure{r.name + ", first quartile", quartile(each, 1), ""}, figure{r.name + ", third quartile", quartile(each, 3), ""})
		bars = append(bars, bar{r.name, ratio, goal})
		line = append(line, fmt.Sprintf("%.2f", ratio), fmt.Sprintf("%.2f–%.2f", quartile(each, 1), quartile(each, 3)), goalText(goal), goalWord(ratio, goal))
		cells, more := c.peerCells(r)
		out = append(out, more...)
		lines = append(lines, append(line, cells...))
	}
	if !c.o.json {
		table(w, lines)
		return nil, bars
	}
	return out, bars
}

// peerCells returns the cells of a row for the peers: figure and ratio of each,
// or a gap if it was not measured.
func (c *comparison) peerCells(r row) (cells []string, out report) {
	for _, p := range c.peers {
		found := withoutGaps(c.figures[r.name][p.name])
		if len(found) == 0 {
			cells = append(cells, "–", "–")
			continue
		}
		m, ratio := median(found), median(ratios(c.figures[r.name][p.name], c.figures[r.name][c.sides[0]]))
		out = append(out, figure{r.name + ", " + p.name, m, r.figure}, figure{r.name + ", " + p.name + ", ratio", ratio, ""})
		cells = append(cells, number(m), fmt.Sprintf("%.2f", ratio))
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

func goalWord(ratio, goal float64) string {
	switch {
	case goal == 0:
		return ""
	case goal > 0 && ratio <= goal, goal < 0 && ratio >= -goal:
		return "met"
	}
	return "not met"
}
