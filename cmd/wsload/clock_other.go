//go:build !linux

package main

import "time"

// cpuClock is there on Linux.
func cpuClock(int) (time.Duration, bool) { return 0, false }
