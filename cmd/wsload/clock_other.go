//go:build !linux

package main

import "time"

// cpuClock returns nothing: only Linux has this clock.
func cpuClock(int) (time.Duration, bool) { return 0, false }
