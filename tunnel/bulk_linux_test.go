package tunnel

import (
	"runtime"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/wsgate/wsgate/tunnel/internal/alone"
	"github.com/wsgate/wsgate/tunnel/internal/sock"
)

// forbid has the system refuse a call to this process from now on, as the
// sandbox of a container may.
func forbid(t *testing.T, call uint32) {
	t.Helper()
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: call},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Skip(err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program))); errno != 0 {
		t.Skip(errno)
	}
}

func TestPromise6LargeFramesAreCopiedWhereNothingMayBeSpliced(t *testing.T) {
	t.Parallel()
	if !alone.Run(t, nil) {
		return
	}
	forbid(t, unix.SYS_SPLICE)
	r := newRig(t, true, tcpPair, tcpPair)
	for range 3 {
		large := makeFrame(finBit|opBinary, randomBytes(1<<20), true)
		var all sync.WaitGroup
		all.Go(func() { r.write(r.client, large) })
		r.expect(r.upstream, large)
		all.Wait()
	}
	_ = r.client.Close()
	_ = r.upstream.Close()
	if res := r.result(); res.MessagesUp != 3 || res.Err != nil {
		t.Errorf("result %+v", res)
	}
}

func TestPromise9SilenceInsideALargeFrameIsParked(t *testing.T) {
	t.Parallel()
	r := newRig(t, true, tcpPair, tcpPair)
	frame := makeFrame(finBit|opBinary, randomBytes(1<<20), true)
	const part = 100 << 10
	var all sync.WaitGroup
	all.Go(func() { r.write(r.client, frame[:part]) })
	r.expect(r.upstream, frame[:part])
	all.Wait()
	waitUntil(t, "the flow to be parked", func() bool {
		if !r.up.turn.TryLock() { // whoever moves the frame has it
			return false
		}
		defer r.up.release()
		return r.up.parked && !r.Tunnel.client.Attached()
	})
	all.Go(func() { r.write(r.client, frame[part:]) })
	r.expect(r.upstream, frame[part:])
	all.Wait()
	r.Close(soon(1013, "between two frames"))
	r.expectClose(r.upstream, 1013, "between two frames")
}

func TestPromise9StalledReadersGiveTheirPipesBack(t *testing.T) {
	t.Parallel()
	if !alone.Run(t, nil) { // it counts the process's pipes
		return
	}
	const stalled = 40
	var all sync.WaitGroup
	var rigs []*rig
	for range stalled {
		r := newRig(t, true, tcpPair, tcpPair)
		rigs = append(rigs, r)
		all.Go(func() {
			large := makeFrame(finBit|opBinary, make([]byte, 1<<20), false)
			for {
				if _, err := r.upstream.Write(large); err != nil {
					return
				}
			}
		})
	}
	waitUntil(t, "all windows to be full", func() bool {
		moved := func() (n int64) {
			for _, r := range rigs {
				n += r.moved()
			}
			return n
		}
		before := moved()
		return stuck(rigs[0].Tunnel) && moved() == before
	})
	waitUntil(t, "the pipes to be given back", func() bool {
		_, lent, _ := sock.Kept()
		return lent == 0
	})
	r := newRig(t, true, tcpPair, tcpPair) // and others have them
	large := makeFrame(finBit|opBinary, randomBytes(1<<20), true)
	all.Go(func() { r.write(r.client, large) })
	r.expect(r.upstream, large)
	for _, r := range rigs {
		r.Close(Closing{By: ByShutdown, Code: 1001, Deadline: past})
		r.result()
	}
	all.Wait()
}
