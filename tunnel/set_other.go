//go:build !linux

package tunnel

import (
	"net"
	"sync/atomic"
)

// useSet is of no effect here: there is no set.
var useSet atomic.Bool

// set is what there is none of here.
type set struct{}

func (*flow) park() bool { return false }

func (*flow) unpark() {}

func (*flow) leave() {}

func (*flow) tryWrite([]byte) int { return 0 }

// bulk has no shortcut here.
func (*flow) bulk(*linger, []byte) (broke, err error) { return nil, nil }

// What records are in a socket, and how they leave it, is not looked into here.
func (*side) waiting() int { return 0 }
func (*side) cork(bool)    {}

// wasReset knows nothing here.
func (*side) wasReset() bool { return false }

// take readies the sides.
func (t *Tunnel) take(client, upstream net.Conn) {
	t.client, t.upstream = newSide(client), newSide(upstream)
}

// Sockets stay in their net.Conns here.
func (*Tunnel) dress()        {}
func (*Tunnel) undress(*flow) {}
func closeDescriptor(int32)   {}
func shutdown(int32)          {}
