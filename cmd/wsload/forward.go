package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// forward is a bare TCP forwarder: what is left when there is neither HTTP nor
// WebSocket. On Linux io.Copy splices.
func forward(o *options) (report, error) {
	ln, err := net.Listen("tcp", o.listen)
	if err != nil {
		return nil, err
	}
	fmt.Println(ln.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = ln.Close()
	}()
	for {
		client, err := ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil, nil // nobody wants it any more
		case err != nil:
			time.Sleep(time.Millisecond) // there are no descriptors left
		default:
			go forwardOne(client, o.to)
		}
	}
}

func forwardOne(client net.Conn, to string) {
	defer func() { _ = client.Close() }()
	upstream, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer func() { _ = upstream.Close() }()
	var both sync.WaitGroup
	both.Go(func() { copyHalf(upstream, client) })
	both.Go(func() { copyHalf(client, upstream) })
	both.Wait()
}

func copyHalf(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.(*net.TCPConn).CloseWrite()
}
