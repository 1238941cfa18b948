package e2e

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// sampleKey is the key of RFC 6455 §1.3.
const (
	sampleKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	sampleAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// rawConn is one end of a tunnel that reads and writes bytes.
type rawConn struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

// rawDial opens a tunnel without a WebSocket library.
func rawDial(t *testing.T, s *site, path string) *rawConn {
	t.Helper()
	addr := strings.TrimPrefix(s.url, "ws://")
	c, err := net.DialTimeout("tcp", addr, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(2 * limit))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n", path, addr, sampleKey)
	rc := &rawConn{Conn: c, t: t, r: bufio.NewReader(c)}
	resp, err := http.ReadResponse(rc.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-WebSocket-Accept") != sampleAccept {
		t.Fatalf("handshake: %v", resp)
	}
	return rc
}

// frame returns one frame; masked frames carry a zero key, which leaves the
// payload readable.
func frame(opcode byte, payload []byte, masked bool) []byte {
	head := []byte{0x80 | opcode}
	mask := byte(0)
	if masked {
		mask = 0x80
	}
	switch n := len(payload); {
	case n < 126:
		head = append(head, mask|byte(n))
	case n < 1<<16:
		head = binary.BigEndian.AppendUint16(append(head, mask|126), uint16(n))
	default:
		head = binary.BigEndian.AppendUint64(append(head, mask|127), uint64(n))
	}
	if masked {
		head = append(head, 0, 0, 0, 0)
	}
	return append(head, payload...)
}

// next reads one frame, unmasked.
func (c *rawConn) next() (opcode byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return 0, nil, err
	}
	n := uint64(head[1] & 0x7f)
	switch n {
	case 126:
		var b [2]byte
		if _, err := io.ReadFull(c.r, b[:]); err != nil {
			return 0, nil, err
		}
		n = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		if _, err := io.ReadFull(c.r, b[:]); err != nil {
			return 0, nil, err
		}
		n = binary.BigEndian.Uint64(b[:])
	}
	var key [4]byte
	if head[1]&0x80 != 0 {
		if _, err := io.ReadFull(c.r, key[:]); err != nil {
			return 0, nil, err
		}
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(c.r, payload); err != nil {
		return 0, nil, err
	}
	for i := range payload {
		payload[i] ^= key[i%4]
	}
	return head[0] & 0x0f, payload, nil
}

// rawBackend accepts handshakes without a library, and gives each connection to
// serve.
func rawBackend(t *testing.T, serve func(*rawConn, *http.Request)) *backend {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := newBackend(t)
	_ = b.Listener.Close()
	b.Listener = ln
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(3 * limit))
				rc := &rawConn{Conn: c, t: t, r: bufio.NewReader(c)}
				req, err := http.ReadRequest(rc.r)
				if err != nil {
					return
				}
				serve(rc, req)
			}()
		}
	}()
	return b
}

// accept answers a handshake with a valid 101.
func (c *rawConn) accept(r *http.Request, more ...string) {
	text := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		acceptKey(r.Header.Get("Sec-WebSocket-Key")) + "\r\n"
	for _, line := range more {
		text += line + "\r\n"
	}
	_, _ = io.WriteString(c, text+"\r\n")
}

// rawCloser accepts a handshake, and sends a close frame with a code of its own
// and a FIN. got receives the bytes that come after that.
func rawCloser(got chan<- []byte) func(*rawConn, *http.Request) {
	return func(c *rawConn, r *http.Request) {
		c.accept(r)
		_, _ = c.Write(frame(8, []byte{4321 >> 8, 4321 & 0xff}, false))
		_ = c.Conn.(*net.TCPConn).CloseWrite()
		all, _ := io.ReadAll(c.r)
		got <- all
	}
}
