//go:build !linux

package sock

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// Off is of no effect here: there are no sets.
var Off atomic.Bool

// Set is what there is none of here.
type Set struct{}

// secured is what there is none of here.
type secured struct{}

// Take gets a connection ready.
func (c *Conn) Take(conn net.Conn, _ *Set, _ Waiter) (early []byte) {
	c.slot = -1
	c.classify(conn)
	return nil
}

// SetFor returns nil: quiet connections wait by themselves.
func SetFor(net.Conn) *Set { return nil }

// Dial connects as d does. Until free is called the end of ctx ends what is
// read and written; free reports whether that has not happened.
func Dial(ctx context.Context, d *net.Dialer, network, address string) (conn net.Conn, free func() bool, err error) {
	return dialNet(ctx, d, network, address)
}

// Arm reports false: there is no set.
func (*Conn) Arm() bool { return false }

// Disarm does nothing here.
func (*Conn) Disarm() {}

// Armed reports false.
func (*Conn) Armed() bool { return false }

// Attach does nothing here.
func (*Conn) Attach(time.Time) {}

// Attached reports false.
func (*Conn) Attached() bool { return false }

// Detach does nothing here.
func (*Conn) Detach() {}

// TryRead is never called here.
func (*Conn) TryRead([]byte) (int, error) { return 0, ErrWait }

// ReadOn has nothing more here.
func (*Conn) ReadOn([]byte) (int, error) { return 0, ErrWait }

// TryWrite is never called here.
func (*Conn) TryWrite([]byte) (int, error) { return 0, nil }

// Pending reports false.
func (*Conn) Pending() bool { return false }

// Flush has nothing to write here.
func (*Conn) Flush() error { return nil }

// Read reads, and waits until there is something.
func (c *Conn) Read(p []byte) (int, error) { return c.readNet(p) }

// Write writes all of p.
func (c *Conn) Write(p []byte) (int, error) { return c.layer.net.Write(p) }

// CloseWrite ends what is written. False: the connection cannot end one
// direction alone.
func (c *Conn) CloseWrite() (ok bool, err error) { return c.closeWriteNet() }

// WasReset knows nothing here.
func (*Conn) WasReset() bool { return false }

// Close closes the connection.
func (c *Conn) Close(gently bool) { c.closeNet(gently) }
