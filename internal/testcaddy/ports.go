package testcaddy

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
)

// Ports are taken from below the range that the kernel gives to outgoing
// connections, so that none of those is in the way.
const (
	firstPort = 12000
	lastPort  = 31999
)

var nextPort atomic.Int64

func init() { nextPort.Store(rand.Int64N(lastPort - firstPort)) } //nolint:gosec // not a secret

// Port returns a free TCP port of the loopback interface, and does not return
// it again in this process.
func Port(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := firstPort + int(nextPort.Add(1))%(lastPort-firstPort)
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = ln.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}
