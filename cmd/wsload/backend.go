package main

import (
	"bufio"
	"crypto/sha1" //nolint:gosec // RFC 6455
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// backend serves until standard input ends.
func backend(o *options) (report, error) {
	ln, err := net.Listen("tcp", o.listen)
	if err != nil {
		return nil, err
	}
	fmt.Println(ln.Addr())
	go serveBackend(ln)
	_, err = io.Copy(io.Discard, os.Stdin)
	_ = ln.Close()
	return nil, err
}

func serveBackend(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_ = serveOne(c)
		}()
	}
}

// serveOne answers a handshake and then does what its path says: /sink reads,
// /source?size=n writes, anything else echoes.
func serveOne(c net.Conn) error {
	_ = c.SetReadDeadline(time.Now().Add(step))
	r := bufio.NewReaderSize(c, 4096)
	req, err := http.ReadRequest(r)
	if err != nil {
		return err
	}
	_ = c.SetReadDeadline(time.Time{})
	sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // RFC 6455
	if _, err := fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:])); err != nil {
		return err
	}
	switch {
	case strings.HasSuffix(req.URL.Path, "/sink"):
		_, err = io.Copy(io.Discard, r)
	case strings.HasSuffix(req.URL.Path, "/source"):
		size, _ := strconv.Atoi(req.URL.Query().Get("size"))
		for f := frame(2, make([]byte, size), false); err == nil; {
			_, err = c.Write(f)
		}
	default:
		err = echoAll(c, r)
	}
	return err
}

// echoAll sends every frame back, unmasked. The generator masks with zeros,
// other clients do not.
func echoAll(c net.Conn, r *bufio.Reader) error {
	var out []byte
	for {
		op, n, key, err := header(r)
		if err != nil {
			return err
		}
		if uint64(cap(out)) < n+14 {
			out = make([]byte, 0, n+14)
		}
		out = appendLength(append(out[:0], 0x80|op), n, 0)
		at := len(out)
		out = out[:at+int(n)]
		if _, err := io.ReadFull(r, out[at:]); err != nil {
			return err
		}
		if key != [4]byte{} {
			for i := range out[at:] {
				out[at+i] ^= key[i%4]
			}
		}
		if _, err := c.Write(out); err != nil || op == 8 {
			return err
		}
	}
}
