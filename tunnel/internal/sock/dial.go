package sock

import (
	"context"
	"net"
)

// dialNet is Dial where there is no set, or the address needs more than a
// socket.
func dialNet(ctx context.Context, d *net.Dialer, network, address string) (net.Conn, func() bool, error) {
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, nil, err
	}
	return conn, context.AfterFunc(ctx, func() { _ = conn.SetDeadline(past) }), nil
}
