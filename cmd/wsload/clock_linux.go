package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuClock is what a process has taken so far, all its threads together, those
// that have ended included. Linux has a clock for each process, whose number it
// makes from that of the process (CPUCLOCK_SCHED in its posix-timers.h); /proc
// counts in ticks.
func cpuClock(pid int) (time.Duration, bool) {
	var at unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &at); err != nil {
		return 0, false
	}
	return time.Duration(at.Nano()), true
}
