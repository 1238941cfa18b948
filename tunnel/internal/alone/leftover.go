package alone

import (
	"runtime"
	"strings"
	"time"
)

// LeftOver waits for goroutines whose stack names a package to end, and returns
// those that do not. The sets' own stay, and the one that runs TestMain.
func LeftOver(name string) string {
	var left []string
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); runtime.Gosched() {
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		left = nil
		for g := range strings.SplitSeq(string(buf), "\n\n") {
			if strings.Contains(g, name) && !strings.Contains(g, "(*Set).serve") && !strings.Contains(g, ".TestMain(") {
				left = append(left, g)
			}
		}
		if len(left) == 0 {
			return ""
		}
	}
	return strings.Join(left, "\n\n")
}
