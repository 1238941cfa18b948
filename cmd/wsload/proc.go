package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit in which Linux counts processor time (USER_HZ).
const tick = 10 * time.Millisecond

// processUse is what a process and its descendants use: processor time so far,
// memory, descriptors.
type processUse struct {
	CPU time.Duration
	PSS int64 // bytes; a page that several processes share counts once
	FDs int
}

// processUseOf reads the use of a process and of its descendants from /proc:
// servers with workers do their work in descendants. For the process 0 it
// returns zeros.
func processUseOf(pid int) (processUse, error) {
	if pid == 0 {
		return processUse{}, nil
	}
	u, err := oneProcessUse(pid)
	if err != nil && hasEnded(err) {
		return u, fmt.Errorf("there is no process %d: %w", pid, err)
	}
	if err != nil {
		return u, fmt.Errorf("looking at process %d: %w", pid, err)
	}
	below, err := descendants(pid)
	if err != nil {
		return u, fmt.Errorf("looking below process %d: %w", pid, err)
	}
	for _, child := range below {
		its, err := oneProcessUse(child)
		if err != nil && !hasEnded(err) {
			return u, fmt.Errorf("looking at process %d, a descendant of %d: %w", child, pid, err)
		}
		u.CPU, u.PSS, u.FDs = u.CPU+its.CPU, u.PSS+its.PSS, u.FDs+its.FDs
	}
	return u, nil
}

// hasEnded reports whether an error means that a process has already ended. Its
// processor time then belongs to the process that waited for it.
func hasEnded(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}

func oneProcessUse(pid int) (processUse, error) {
	var u processUse
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	own, ended, err := parseStat(string(stat))
	if err != nil {
		return u, err
	}
	if exact, ok := cpuClock(pid); ok {
		own = exact
	}
	u.CPU = own + ended
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return u, err
	}
	u.PSS = parsePSS(string(rollup))
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	u.FDs = len(fds)
	return u, err
}

// descendants lists the children of a process, their children, and so on.
func descendants(pid int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue // not a process
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		if err != nil {
			continue // gone
		}
		parent := parseParent(string(stat))
		children[parent] = append(children[parent], child)
	}
	found := slices.Clone(children[pid])
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i]]...)
	}
	return found, nil
}

// parseParent returns the parent's id from /proc/pid/stat. 0: there is none.
func parseParent(s string) int {
	fields := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	if len(fields) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(fields[1])
	return parent
}

// parseStat returns user and system time from /proc/pid/stat: of the process
// itself, and of its children that have ended.
func parseStat(s string) (own, ended time.Duration, err error) {
	fields := strings.Fields(s[strings.LastIndexByte(s, ')')+1:]) // a name may hold anything
	if len(fields) < 15 {
		return 0, 0, fmt.Errorf("reading processor time: %q", s)
	}
	var ticks [4]int64
	for i, f := range fields[11:15] {
		if ticks[i], err = strconv.ParseInt(f, 10, 64); err != nil {
			return 0, 0, fmt.Errorf("reading processor time: %w", err)
		}
	}
	return time.Duration(ticks[0]+ticks[1]) * tick, time.Duration(ticks[2]+ticks[3]) * tick, nil
}

// parsePSS returns the proportional set size from smaps_rollup.
func parsePSS(s string) int64 {
	for line := range strings.Lines(s) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}
