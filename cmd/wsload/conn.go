package main

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// step limits the time of a handshake and of an echo.
const step = 30 * time.Second

// conn is the client's end of a tunnel. It has one buffer and no goroutine.
type conn struct {
	net.Conn
	r *bufio.Reader
}

const request = "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

// dial opens a tunnel.
func dial(o *options, path string, buffer int) (*conn, error) {
	u, err := url.Parse(o.url)
	if err != nil {
		return nil, err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"ws": "80", "wss": "443"}[u.Scheme]
	}
	d := net.Dialer{Timeout: step}
	c, err := d.Dial("tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, err
	}
	if u.Scheme == "wss" {
		c = tls.Client(c, &tls.Config{ServerName: u.Hostname(), InsecureSkipVerify: o.insecure}) //nolint:gosec // asked for
	}
	if path == "" {
		if path = u.RequestURI(); path == "" {
			path = "/"
		}
	}
	_ = c.SetDeadline(time.Now().Add(step))
	if _, err := fmt.Fprintf(c, request, path, u.Host); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	w := &conn{Conn: c, r: bufio.NewReaderSize(c, buffer)}
	resp, err := http.ReadResponse(w.r, nil)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, errors.Join(fmt.Errorf("handshake: %s", resp.Status), c.Close())
	}
	return w, c.SetDeadline(time.Time{})
}

// frame returns one frame; a masked one has a zero key.
func frame(opcode byte, payload []byte, masked bool) []byte {
	bit := byte(0)
	if masked {
		bit = 0x80
	}
	f := appendLength([]byte{0x80 | opcode}, uint64(len(payload)), bit)
	if masked {
		f = append(f, 0, 0, 0, 0)
	}
	return append(f, payload...)
}

// appendLength adds the second byte of a header and what follows it.
func appendLength(f []byte, n uint64, bit byte) []byte {
	switch {
	case n < 126:
		return append(f, bit|byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(f, bit|126), uint16(n))
	}
	return binary.BigEndian.AppendUint64(append(f, bit|127), n)
}

// header reads a frame's header. Without a mask the key is zero.
func header(r *bufio.Reader) (opcode byte, length uint64, key [4]byte, err error) {
	var b [14]byte
	if _, err = io.ReadFull(r, b[:2]); err != nil {
		return 0, 0, key, err
	}
	opcode, length = b[0]&0x0f, uint64(b[1]&0x7f)
	more := 0
	switch length {
	case 126:
		more = 2
	case 127:
		more = 8
	}
	if _, err = io.ReadFull(r, b[2:2+more]); err != nil {
		return 0, 0, key, err
	}
	switch more {
	case 2:
		length = uint64(binary.BigEndian.Uint16(b[2:]))
	case 8:
		length = binary.BigEndian.Uint64(b[2:])
	}
	if b[1]&0x80 != 0 {
		_, err = io.ReadFull(r, key[:])
	}
	return opcode, length, key, err
}

// next reads and discards one frame.
func (c *conn) next() (opcode byte, length uint64, err error) {
	opcode, length, _, err = header(c.r)
	if err == nil {
		_, err = io.CopyN(io.Discard, c.r, int64(length))
	}
	return opcode, length, err
}

// echo sends a frame and waits for an answer of the same payload length.
func (c *conn) echo(f []byte, size int) error {
	if _, err := c.Write(f); err != nil {
		return err
	}
	op, n, _, err := header(c.r)
	if err != nil {
		return err
	}
	if op == 8 || n != uint64(size) {
		return fmt.Errorf("got opcode %d with %d bytes, want the echo of %d", op, n, size)
	}
	_, err = c.r.Discard(size)
	return err
}
