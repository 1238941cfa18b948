package tunnel

import (
	"io"
	"net"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// countedPair counts what is written to its near end.
func countedPair(writes *atomic.Int32) pair {
	return func(t testing.TB) (near, far net.Conn) {
		n, f := tcpPair(t)
		return counted{n, writes}, f
	}
}

type counted struct {
	net.Conn
	writes *atomic.Int32
}

func (c counted) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// wholeRecords makes TLS connections whose records are as large as they can be
// from the first.
func wholeRecords(t testing.TB) (near, far net.Conn) {
	t.Helper()
	return secured(t, true)
}

func TestRecordsThatAreThereGoOnTogether(t *testing.T) {
	t.Parallel()
	var writes atomic.Int32
	r := &rig{t: t, ended: make(chan Result, 1)}
	r.Tunnel = New(Options{Owner: owner(r.ended)})
	var c, u net.Conn
	c, r.client = wholeRecords(t)
	u, r.upstream = countedPair(&writes)(t)
	const many = 18
	_ = beneath(c).(*net.TCPConn).SetReadBuffer(2 * many * recordSize)
	message := makeFrame(finBit|opBinary, make([]byte, many*recordSize-maxHeader), true)
	r.write(r.client, message)
	side := newSide(c)
	waitUntil(t, "all to be there", func() bool { return side.waiting() > len(message) })
	r.startOn(true, Peer{Conn: c}, Peer{Conn: u})
	r.expect(r.upstream, message)
	// One by one it would be nineteen. TLS reads some ahead, which cannot be seen;
	// a machine that stands still for as long as a pump waits costs one more.
	if n := writes.Load(); n > 2*many/3 {
		t.Errorf("%d writes of %d records that were there", n, many)
	}
	closeWrite(r.client)
	closeWrite(r.upstream)
	r.result()
}

func TestWhatComesBehindBrokenRecordsIsNotAwaited(t *testing.T) {
	t.Parallel()
	r := newRig(t, true, wholeRecords, tcpPair)
	message := makeFrame(finBit|opBinary, make([]byte, 2*recordSize-8), true)
	r.write(r.client, message)
	r.write(beneath(r.client), make([]byte, 2*recordSize)) // no record
	r.expect(r.upstream, message)
	r.expectEnd(r.upstream)
	if res := r.result(); res.By != ByError || res.Err == nil {
		t.Errorf("ended by %v with %v", res.By, res.Err)
	}
}

// segments returns how many segments with data a connection has sent.
func segments(t *testing.T, c net.Conn) (n int) {
	t.Helper()
	raw, err := beneath(c).(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		info, failed := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err = failed; err == nil {
			n = int(info.Data_segs_out)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRecordsLeaveInFullSegments(t *testing.T) {
	t.Parallel()
	near, far := wholeRecords(t)
	defer near.Close()
	go func() { _, _ = io.Copy(io.Discard, far) }()
	side := newSide(near)
	before := segments(t, near)
	const times = 10
	for range times {
		if _, err := side.write(make([]byte, recordsSize)); err != nil {
			t.Fatal(err)
		}
	}
	// On loopback a segment has 64 KiB, a little less than four records.
	if n := segments(t, near) - before; n > 5*times/2 {
		t.Errorf("%d segments for %d times four records", n, times)
	}
	raw, err := side.raw()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		if held, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK); held != 0 || err != nil {
			t.Errorf("the socket still holds segments back: %d, %v", held, err)
		}
	})
}
