package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestPeersAreRead(t *testing.T) {
	t.Parallel()
	_, pid := below(t)
	got, err := parsePeers([]string{"nginx=ws://127.0.0.1:9001/?a=b", fmt.Sprintf("haproxy=wss://localhost/,%d", pid)})
	want := []peer{{name: "nginx", url: "ws://127.0.0.1:9001/?a=b"}, {name: "haproxy", url: "wss://localhost/", pid: pid}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if err := checkProcess(os.Getpid()); err == nil || !strings.Contains(err.Error(), "this one") {
		t.Errorf("this process as a peer: %v", err)
	}
}

func TestCompareMeasuresPeers(t *testing.T) {
	url, pid := below(t)
	o := &options{
		binary: os.Args[0], listen: "127.0.0.1:0", rounds: 1, sides: "stock", only: "echo 1 KiB", duration: 300 * time.Millisecond, json: true,
		peers: []peer{{name: "seen", url: url, pid: pid}, {name: "unseen", url: url}},
	}
	r, err := compare(o)
	if err != nil {
		t.Fatal(err)
	}
	stock, seen := r.value("echo 1 KiB, CPU, stock"), r.value("echo 1 KiB, CPU, seen")
	if stock <= 0 || seen <= 0 || r.value("echo 1 KiB, CPU, seen, ratio") <= 0 {
		t.Errorf("got %v", r)
	}
	if slices.ContainsFunc(r, func(f figure) bool { return strings.Contains(f.Name, "unseen") }) {
		t.Errorf("CPU of a process that nobody looks at: %v", r)
	}
}

// TestPeersMemoryComesFirst holds what makes it a figure at all: servers keep
// memory, so only the first growth is one.
func TestPeersMemoryComesFirst(t *testing.T) {
	t.Parallel()
	url, pid := below(t)
	var calls []string
	seen := func(name string) func(*options) (report, error) {
		return func(o *options) (report, error) {
			calls = append(calls, name)
			if (o.start != nil) != strings.HasPrefix(name, "PSS") || o.start != nil && o.start.PSS == 0 {
				t.Errorf("%s starts from %+v", name, o.start)
			}
			if name == "PSS 2" {
				return nil, errors.New("too many for me")
			}
			return report{{"PSS", 1, ""}, {"CPU", 2, ""}, {"MiB", 3, ""}}, nil
		}
	}
	set := func(*options) {}
	wanted := []row{
		{name: "a", figure: "CPU", run: seen("CPU"), set: set}, {name: "b", figure: "PSS", run: seen("PSS 1"), set: set},
		{name: "c", figure: "PSS", run: seen("PSS 2"), set: set}, {name: "d", figure: "MiB", run: seen("MiB"), set: set},
	}
	c := &comparison{o: &options{rounds: 2}, peers: []peer{{name: "seen", url: url, pid: pid}, {name: "unseen", url: url}}}
	if err := c.run(wanted); err != nil {
		t.Fatal(err)
	}
	round := append(slices.Repeat([]string{"CPU"}, 1+turns), slices.Repeat([]string{"MiB", "MiB"}, 1+turns)...)
	if want := append([]string{"PSS 1", "PSS 2"}, append(round, round...)...); !slices.Equal(calls, want) {
		t.Errorf("rows were run in the order %q, want %q", calls, want)
	}
	if got := fmt.Sprint(c.figures); got != "map[a:map[seen:[2 2 2 2 2 2 2 2]] b:map[seen:[1]] d:map[seen:[3 3 3 3 3 3 3 3] unseen:[3 3 3 3 3 3 3 3]]]" {
		t.Errorf("found %s", got)
	}
}

func TestIdleGrowsFromTheStartItIsGiven(t *testing.T) {
	t.Parallel()
	url, pid := below(t)
	o := &options{url: url, pid: pid, tunnels: 4, duration: time.Millisecond, start: new(processUse)}
	r, err := idle(o)
	if err != nil {
		t.Fatal(err)
	}
	all, err := processUseOf(pid)
	if err != nil {
		t.Fatal(err)
	}
	if each := float64(all.PSS) / 1024 / 4; r.value("PSS per tunnel") < each/2 {
		t.Errorf("over nothing at all a tunnel holds %v, want about a quarter of the process, %.0f KiB", r, each)
	}
}

func TestTableShowsPeersBesideTheSides(t *testing.T) {
	t.Parallel()
	c := &comparison{
		o: new(options), sides: []string{"stock", "wsgate"}, peers: []peer{{name: "nginx"}, {name: "other"}},
		figures: map[string]map[string][]float64{
			"echo 1 KiB, CPU":     {"stock": {20, 40, 30}, "wsgate": {10, 20, 18}, "nginx": {10, math.NaN(), 14}, "other": {math.NaN(), math.NaN(), math.NaN()}},
			"stream 1 MiB, MiB/s": {"stock": {100}, "wsgate": {150}, "nginx": {110}, "other": {50}},
		},
	}
	var out bytes.Buffer
	c.report(&out)
	want := "" +
		"what                 stock  wsgate  ratio  quartiles    goal       nginx  ratio  other  ratio\n" +
		"echo 1 KiB, CPU       30.0    18.0   0.50  0.50–0.55                12.0   0.48      –      –\n" +
		"stream 1 MiB, MiB/s  100.0   150.0   1.50  1.50–1.50  ≥ 1.20  met  110.0   1.10   50.0   0.50\n"
	if out.String() != want {
		t.Errorf("the table is\n%s\nwant\n%s", &out, want)
	}
}

// TestPeersOfTheDocumentationCarryTunnels starts those of testdata/peers that
// are installed, on ports of their own and with fewer threads.
func TestPeersOfTheDocumentationCarryTunnels(t *testing.T) {
	t.Parallel()
	for _, p := range []struct {
		program, file, address string
		args                   func(dir, file string) []string
	}{
		{"nginx", "nginx.conf", "127.0.0.1:9001", func(dir, file string) []string { return []string{"-e", "stderr", "-p", dir + "/", "-c", file} }},
		{"haproxy", "haproxy.cfg", "127.0.0.1:9002", func(_, file string) []string { return []string{"-db", "-f", file} }},
		{"apache2", "apache.conf", "127.0.0.1:9003", func(dir, file string) []string { return []string{"-DFOREGROUND", "-d", dir, "-f", file} }},
	} {
		t.Run(p.program, func(t *testing.T) {
			t.Parallel()
			program := installed(t, p.program)
			text, err := os.ReadFile(filepath.Join("../../testdata/peers", p.file))
			if err != nil {
				t.Fatal(err)
			}
			back := strings.TrimSuffix(strings.TrimPrefix(served(t), "ws://"), "/")
			address := fmt.Sprintf("127.0.0.1:%d", freePort())
			text = []byte(strings.NewReplacer(p.address, address, "127.0.0.1:7900", back, "4600", "16", "9200", "32").Replace(string(text)))
			dir := t.TempDir()
			file := filepath.Join(dir, p.file)
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(program, p.args(dir, file)...)
			var said bytes.Buffer
			cmd.Stderr = &said
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = cmd.Process.Signal(syscall.SIGTERM)
				_ = cmd.Wait()
				if t.Failed() {
					t.Logf("%s said: %s", p.program, &said)
				}
			}()
			o := &options{url: "ws://" + address + "/a/b", pid: cmd.Process.Pid, tunnels: 4, size: 1024, duration: 300 * time.Millisecond}
			up := func() bool {
				c, err := dial(o, "", 64)
				if err == nil {
					_ = c.Close()
				}
				return err == nil
			}
			for end := time.Now().Add(step); !up(); time.Sleep(20 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("it does not serve")
				}
			}
			r, err := echoes(o)
			if err != nil || r.value("messages") <= 0 || r.value("CPU per message") <= 0 {
				t.Errorf("echoes: %v, %v", r, err)
			}
			c, err := dial(o, "/source?size=1000", 64)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, n, err := c.next(); err != nil || n != 1000 {
				t.Errorf("a message of the stream has %d bytes, %v", n, err)
			}
		})
	}
}

// installed finds a server where Debian puts it also for those who are not
// root.
func installed(t *testing.T, program string) string {
	t.Helper()
	for _, name := range []string{program, "/usr/sbin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skipf("%s is not installed", program)
	return ""
}
