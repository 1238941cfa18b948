package tunnel

import (
	"context"
	"net"
)

// dial is Dial with a net.Conn.
func dial(ctx context.Context, d *net.Dialer, network, address string) (conn net.Conn, free func() bool, err error) {
	if conn, err = d.DialContext(ctx, network, address); err != nil {
		return nil, nil, err
	}
	return conn, context.AfterFunc(ctx, func() { _ = conn.SetDeadline(past) }), nil
}
