//go:build race

package e2e

import "time"

// The race detector makes everything slower and larger: what is big is smaller
// then, and what memory may be taken is more.
const (
	hugeMessage    = 4 << 20
	hugestMessage  = 64 << 20
	memoryOverhead = 20
	// exitLimit is what promise 4 gives an exit: service units kill after 5 s.
	exitLimit = 9000 * time.Millisecond
)
