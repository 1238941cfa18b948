//go:build race

package e2e

import "time"

// The race detector makes everything slower and larger. So with it the tests
// use fewer tunnels, and allow more memory.
const (
	hugeMessage    = 4 << 20
	hugestMessage  = 64 << 20
	memoryOverhead = 20
	// exitLimit is the time for an exit in promise 4: service units kill after
	// 5 s.
	exitLimit = 9000 * time.Millisecond
)
