package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
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
	if err := watchable(os.Getpid()); err == nil || !strings.Contains(err.Error(), "this one") {
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
	if stock <= 0 || seen <= 0 || r.value("echo 1 KiB, CPU, seen, ratio") != seen/stock {
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
	if want := []string{"PSS 1", "PSS 2", "CPU", "MiB", "MiB", "CPU", "MiB", "MiB"}; !slices.Equal(calls, want) {
		t.Errorf("rows were run in the order %q, want %q", calls, want)
	}
	if got := fmt.Sprint(c.found); got != "map[a:map[seen:[2 2]] b:map[seen:[1]] d:map[seen:[3 3] unseen:[3 3]]]" {
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
	all, err := look(pid)
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
		found: map[string]map[string][]float64{
			"echo 1 KiB, CPU":     {"stock": {20, 40, 30}, "wsgate": {15, 15, 15}, "nginx": {10, 12, 14}},
			"stream 1 MiB, MiB/s": {"stock": {100}, "wsgate": {150}, "nginx": {110}, "other": {50}},
		},
	}
	var out bytes.Buffer
	c.report(&out)
	want := "" +
		"what                 stock  wsgate  ratio    goal       nginx  ratio  other  ratio\n" +
		"echo 1 KiB, CPU       30.0    15.0   0.50                12.0   0.40      –      –\n" +
		"stream 1 MiB, MiB/s  100.0   150.0   1.50  ≥ 1.20  met  110.0   1.10   50.0   0.50\n"
	if out.String() != want {
		t.Errorf("the table is\n%s\nwant\n%s", &out, want)
	}
}
