package tunnel

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wsgate/wsgate/tunnel/internal/sock"
)

const recordSize = 16 << 10 // of TLS (RFC 8446 §5.1)

// wholeRecords makes TLS connections whose records are as large as they can be
// from the first.
func wholeRecords(t testing.TB) (near, far net.Conn) {
	t.Helper()
	return secured(t, true)
}

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

func TestRecordsThatAreThereGoOnTogether(t *testing.T) {
	t.Parallel()
	var writes atomic.Int32
	r := &rig{t: t, ended: make(chan Result, 1)}
	r.Tunnel = New(Options{Owner: owner(r.ended)})
	var c, u net.Conn
	c, r.client = wholeRecords(t)
	u, r.upstream = countedPair(&writes)(t)
	const many = 18
	socket := beneath(c).(*net.TCPConn)
	_ = socket.SetReadBuffer(2 * many * recordSize)
	message := makeFrame(finBit|opBinary, make([]byte, many*recordSize-maxHeader), true)
	r.write(r.client, message)
	raw, err := socket.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "all to be there", func() (all bool) {
		_ = raw.Control(func(fd uintptr) { all = unread(int(fd)) > len(message) })
		return all
	})
	r.startOn(true, Peer{Conn: c}, Peer{Conn: u})
	r.expect(r.upstream, message)
	if n := writes.Load(); n > many/2 { // one by one it would be eighteen
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

// segments returns how many segments with data a socket has sent.
func segments(t *testing.T, fd int) int {
	t.Helper()
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Data_segs_out)
}

func TestRecordsLeaveInFullSegments(t *testing.T) {
	t.Parallel()
	near, far := wholeRecords(t)
	go func() { _, _ = io.Copy(io.Discard, far) }()
	var c sock.Conn
	c.Take(near, sock.SetFor(near), nil)
	defer c.Close(true)
	if c.Kind() != sock.Secured {
		t.Fatalf("this Go keeps the connection of crypto/tls in another place: kind %d (docs/adr/0014)", c.Kind())
	}
	before := segments(t, c.Descriptor())
	const times = 10
	for n := 0; n < times; {
		m, err := c.TryWrite(make([]byte, 4*recordSize))
		if err != nil {
			t.Fatal(err)
		}
		if m > 0 {
			n++
		}
		if c.Pending() { // the peer is slow
			c.Attach(time.Time{})
			if err := c.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	// On loopback a segment has 64 KiB, a little less than four records.
	if n := segments(t, c.Descriptor()) - before; n > 5*times/2 {
		t.Errorf("%d segments for %d times four records", n, times)
	}
}
