package sock

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Kind is what can be done with a connection.
type Kind uint8

const (
	// Opaque is read and written, and nothing else is known of it.
	Opaque Kind = iota
	// Layered has a socket beneath something that may hold bytes back.
	Layered
	// Secured is TLS on a socket of ours.
	Secured
	// Plain is a socket of ours.
	Plain
)

// ErrWait says that nothing can be read just now.
//
// To crypto/tls it is a timeout, after which a read may be tried again.
var ErrWait error = waitError{}

type waitError struct{}

func (waitError) Error() string   { return "nothing to read" }
func (waitError) Timeout() bool   { return true }
func (waitError) Temporary() bool { return true }

// Waiter is told that its connection has something to read, or has ended. Wake
// is called by the set's goroutine and must not block; b is its buffer until
// it returns.
type Waiter interface{ Wake(b []byte) }

// BufferSize is the size of the buffer that Wake gets, and the most that a
// Secured connection should be given to write at once.
const BufferSize = 64 << 10

// past is a deadline that is over.
var past = time.Unix(1, 0)

// Conn is one connection of a tunnel. The package page says who may call what.
type Conn struct {
	fd   int32 // of the socket; -1: unknown
	slot int32 // in the set; -1: none
	kind Kind

	set   *Set   // nil: it never waits in one
	owner Waiter // set once by Take

	mu    sync.Mutex // guards file, and the deadlines set on it
	file  *os.File   // nil: detached
	layer *layer     // nil: Plain. Set once by Take
}

// layer is what lies above a socket, or instead of one.
type layer struct {
	net     net.Conn // Layered and Opaque
	secured *secured // Secured
}

// Kind returns the connection's kind.
func (c *Conn) Kind() Kind { return c.kind }

// Tries reports whether the connection has calls that do not wait.
func (c *Conn) Tries() bool { return c.kind >= Secured }

// Set returns the set in which the connection waits; nil: in none.
func (c *Conn) Set() *Set { return c.set }

// Descriptor returns the socket's, for measurements and tests; -1: unknown. It
// stays the same while no pump comes or goes.
func (c *Conn) Descriptor() int { return int(c.fd) }

// stream is what is read and written where waiting is allowed.
func (c *Conn) stream() deadlined {
	switch {
	case c.kind < Secured:
		return c.layer.net
	case c.file != nil:
		return c.file
	}
	return nil
}

type deadlined interface {
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// SetReadDeadline ends a Read that waits at a time. Zero: nothing does. After an
// Abort, aborted is true and the read ends at once.
func (c *Conn) SetReadDeadline(at time.Time, aborted *atomic.Bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if aborted.Load() {
		at = past
	}
	if s := c.stream(); s != nil {
		_ = s.SetReadDeadline(at)
	}
}

// SetWriteDeadline ends a Write that waits at a time. Zero: nothing does. After
// an Abort it does nothing.
func (c *Conn) SetWriteDeadline(at time.Time, aborted *atomic.Bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.stream(); s != nil && !aborted.Load() {
		_ = s.SetWriteDeadline(at)
	}
}

// Abort ends reads that wait at once, and writes that wait at a time.
func (c *Conn) Abort(writes time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.stream(); s != nil {
		_ = s.SetReadDeadline(past)
		_ = s.SetWriteDeadline(writes)
	}
}

// classify finds out what a connection is that is read and written as a
// net.Conn.
func (c *Conn) classify(conn net.Conn) {
	c.kind, c.fd, c.layer = Opaque, -1, &layer{net: conn}
	socket, ok := beneath(conn).(syscall.Conn)
	if !ok || !canAwait {
		return
	}
	raw, err := socket.SyscallConn()
	if err == nil && raw.Control(func(fd uintptr) { c.fd = int32(fd) }) == nil {
		c.kind = Layered
	}
}

// proxied is a connection of a PROXY protocol listener, by methods that only
// github.com/pires/go-proxyproto has. Behind its header it adds nothing to what is
// read and written. Of a wrapper that merely has Raw nobody knows that.
type proxied interface {
	net.Conn
	Raw() net.Conn
	TCPConn() (*net.TCPConn, bool)
}

// beneath returns the socket below a connection; nil where it is unknown.
func beneath(conn net.Conn) net.Conn {
	for {
		switch c := conn.(type) {
		case *net.TCPConn, *net.UnixConn:
			return c
		case interface{ NetConn() net.Conn }: // crypto/tls, and what follows it
			conn = c.NetConn()
		case proxied:
			conn = c.Raw()
		default:
			return nil
		}
	}
}

// readNet reads a Layered or Opaque connection, and waits.
func (c *Conn) readNet(p []byte) (int, error) { return c.layer.net.Read(p) }

// Probe returns what the layers of a Layered connection hold back, without a
// look at the socket. ErrWait: nothing.
func (c *Conn) Probe(p []byte, aborted *atomic.Bool) (int, error) {
	c.SetReadDeadline(past, aborted)
	n, err := c.layer.net.Read(p)
	c.SetReadDeadline(time.Time{}, aborted)
	switch {
	case n > 0:
		return n, nil
	case errors.Is(err, os.ErrDeadlineExceeded) && !aborted.Load():
		return 0, ErrWait
	}
	return 0, err
}

// closeWriteNet is CloseWrite of a Layered or Opaque connection.
func (c *Conn) closeWriteNet() (ok bool, err error) {
	half, ok := c.layer.net.(interface{ CloseWrite() error })
	if !ok {
		if _, is := c.layer.net.(proxied); !is {
			return false, nil
		}
		if half, ok = beneath(c.layer.net).(interface{ CloseWrite() error }); !ok {
			return false, nil
		}
	}
	return true, half.CloseWrite()
}

// closeNet closes a Layered or Opaque connection. TLS says goodbye only where
// the peer listens: it would wait for a peer that does not read.
func (c *Conn) closeNet(gently bool) {
	if !gently {
		c.HangUp()
	}
	_ = c.layer.net.Close() // ends in any case
}

// HangUp closes the socket beneath layers that would take their leave of the
// peer first. It may be called beside Close, and does nothing where Close
// cannot wait.
func (c *Conn) HangUp() {
	if c.kind >= Secured {
		return
	}
	if socket := beneath(c.layer.net); socket != nil {
		_ = socket.Close()
	}
}

// IsEnd reports whether a read error is the end of what the peer sends.
func IsEnd(err error) bool { return errors.Is(err, io.EOF) }
