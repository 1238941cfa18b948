package wsgate

import (
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

// The kernel delivers a signal to the main thread if it can. A main thread that
// hangs in a call to a dead storage receives none, and Go would miss SIGTERM.
func TestPromise4MainThreadCallsNoStorage(t *testing.T) {
	var all sync.WaitGroup
	begin := make(chan struct{})
	for range 200 {
		all.Go(func() {
			<-begin
			for range 100 {
				if syscall.Gettid() == os.Getpid() {
					t.Error("a goroutine runs on the main thread")
					return
				}
				runtime.Gosched()
			}
		})
	}
	close(begin)
	all.Wait()
}
