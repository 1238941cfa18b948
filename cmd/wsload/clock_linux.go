package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuClock returns the processor time of a process so far. It includes all
// threads, also those that have ended. Linux has a clock for each process, and
// makes the clock's number from the process id (CPUCLOCK_SCHED in its
// posix-timers.h). This clock is exact; /proc counts in ticks.
func cpuClock(pid int) (time.Duration, bool) {
	var at unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &at); err != nil {
		return 0, false
	}
	return time.Duration(at.Nano()), true
}
