package sock

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// limit bounds every step of a test.
const limit = 20 * time.Second

// leaks report what tests have left behind, if anything.
var leaks = []func() string{leftOver}

// TestMain fails when a test leaves something behind.
func TestMain(m *testing.M) {
	code := m.Run()
	for _, leak := range leaks {
		if left := leak(); left != "" && code == 0 {
			fmt.Println("left over:\n" + left)
			code = 1
		}
	}
	os.Exit(code)
}

// leftOver waits for goroutines of this package to end and returns those that
// do not; the sets' own stay.
func leftOver() string {
	var left []string
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); runtime.Gosched() {
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		left = nil
		for g := range strings.SplitSeq(string(buf), "\n\n") {
			if strings.Contains(g, "internal/sock") && !strings.Contains(g, "(*Set).serve") && !strings.Contains(g, "sock.TestMain") {
				left = append(left, g)
			}
		}
		if len(left) == 0 {
			return ""
		}
	}
	return strings.Join(left, "\n\n")
}
