// Package alone has what tests of the engine share: a process of their own for
// what a process cannot take back, and a look at what they leave behind.
package alone

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Run runs a test again in a process of its own, for what a process cannot
// take back. True: this is that process.
func Run(t *testing.T, attr *syscall.SysProcAttr) bool {
	t.Helper()
	const mark = "WSGATE_TEST_ALONE"
	if os.Getenv(mark) != "" {
		return true
	}
	again := exec.Command(os.Args[0], "-test.v", "-test.run=^"+t.Name()+"$")
	again.Env, again.SysProcAttr = append(os.Environ(), mark+"=1"), attr
	said, err := again.CombinedOutput()
	switch {
	case err != nil && len(said) == 0:
		t.Skip(err) // no such process may be had here
	case err != nil:
		t.Errorf("%v: %s", err, said)
	case strings.Contains(string(said), "--- SKIP"):
		t.Skipf("%s", said)
	}
	return false
}
