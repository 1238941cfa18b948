package main

import (
	"bufio"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// below starts a backend as the child of a shell, as a master starts workers,
// and returns its URL and the shell's process.
func below(t *testing.T) (url string, pid int) {
	t.Helper()
	if _, err := os.Stat("/proc/self/smaps_rollup"); err != nil {
		t.Skip("costs are read from /proc")
	}
	cmd := exec.Command("sh", "-c", `"$0" backend; :`, os.Args[0])
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // the backend's end, and so the shell's
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return "ws://" + strings.TrimSpace(line) + "/", cmd.Process.Pid
}

func TestProcessesBelowAreLookedAtToo(t *testing.T) {
	t.Parallel()
	url, pid := below(t)
	workers, err := descendants(pid)
	if err != nil || len(workers) != 1 {
		t.Fatalf("descendants of the shell: %v, %v", workers, err)
	}
	if all, err := descendants(os.Getpid()); err != nil || !slices.Contains(all, pid) || !slices.Contains(all, workers[0]) {
		t.Errorf("descendants of this process: %v, %v; want %d and %d among them", all, err, pid, workers[0])
	}
	r, err := echoes(&options{url: url, pid: pid, tunnels: 4, size: 64, duration: 300 * time.Millisecond})
	if err != nil || r.value("CPU per message") <= 0 {
		t.Errorf("echoes cost nothing: %v, %v", r, err)
	}
	alone, err := oneProcessUse(pid)
	if err != nil {
		t.Fatal(err)
	}
	worker, err := oneProcessUse(workers[0])
	if err != nil {
		t.Fatal(err)
	}
	tree, err := processUseOf(pid)
	if err != nil || worker.CPU == 0 || tree.CPU < alone.CPU+worker.CPU || tree.PSS <= alone.PSS || tree.FDs <= alone.FDs {
		t.Errorf("together %+v, %v; apart %+v and %+v", tree, err, alone, worker)
	}
}

func TestParentsAreRead(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int{"9 (a ) 7 b) S 4711 1 1": 4711, "1 (init) S 0 1": 0, "nonsense": 0, "": 0} {
		if got := parseParent(s); got != want {
			t.Errorf("%q: parent %d, want %d", s, got, want)
		}
	}
}
