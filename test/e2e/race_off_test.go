//go:build !race

package e2e

const (
	hugeMessage    = 64 << 20
	hugestMessage  = 1 << 30
	memoryOverhead = 1
)
