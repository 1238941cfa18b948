package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is what Linux counts processor time in (USER_HZ).
const tick = 10 * time.Millisecond

// processUse is what a process has taken so far.
type processUse struct {
	CPU time.Duration
	PSS int64 // bytes
	FDs int
}

// look reads /proc. A process of 0 is not looked at.
func look(pid int) (processUse, error) {
	if pid == 0 {
		return processUse{}, nil
	}
	var u processUse
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	if u.CPU, err = parseStat(string(stat)); err != nil {
		return u, err
	}
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return u, err
	}
	u.PSS = parsePSS(string(rollup))
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	u.FDs = len(fds)
	return u, err
}

// parseStat takes user and system time, of the process and of its children
// that have ended, out of /proc/pid/stat.
func parseStat(s string) (time.Duration, error) {
	fields := strings.Fields(s[strings.LastIndexByte(s, ')')+1:]) // a name may hold anything
	if len(fields) < 15 {
		return 0, fmt.Errorf("reading processor time: %q", s)
	}
	var sum int64
	for _, f := range fields[11:15] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading processor time: %w", err)
		}
		sum += n
	}
	return time.Duration(sum) * tick, nil
}

// parsePSS takes the proportional set size out of smaps_rollup.
func parsePSS(s string) int64 {
	for line := range strings.Lines(s) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}
