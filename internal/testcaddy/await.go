package testcaddy

import (
	"testing"
	"time"
)

// awaitLimit is how long Await waits. That is far longer than anything should
// take, so that no test fails only because the machine is busy.
const awaitLimit = 15 * time.Second

// Await polls until ok returns true, or fails the test.
func Await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(awaitLimit)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited %s in vain: %s", awaitLimit, what)
		}
	}
}
