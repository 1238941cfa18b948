//go:build !linux

package tunnel

import (
	"context"
	"net"
)

// Dial connects as d does. Until free is called the end of ctx ends what is
// read and written; free reports whether that has not happened.
func Dial(ctx context.Context, d *net.Dialer, network, address string) (conn net.Conn, free func() bool, err error) {
	return dial(ctx, d, network, address)
}
