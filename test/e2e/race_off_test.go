//go:build !race

package e2e

import "time"

const (
	hugeMessage    = 64 << 20
	hugestMessage  = 1 << 30
	memoryOverhead = 1
	// exitLimit is the time for an exit in promise 4: service units kill after
	// 5 s.
	exitLimit = 4500 * time.Millisecond
)
