package e2e

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestPromise5CloseGoesBetweenTwoFramesUnderFlood(t *testing.T) {
	t.Parallel()
	b := flood(t)
	s := chat(t, b, `closing drain 10s code 4000 "between frames"`)
	c := rawDial(t, s, "/ws/")
	if op, p, err := c.next(); err != nil || op != 2 || len(p) != 64<<10 {
		t.Fatalf("first frame: %d, %d bytes, %v", op, len(p), err)
	}
	s.Switch("chat", `{"mode":"off"}`)
	for {
		op, p, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		if op == 8 {
			if want := append([]byte{4000 >> 8, 4000 & 0xff}, "between frames"...); !bytes.Equal(p, want) {
				t.Errorf("close payload %q, want %q", p, want)
			}
			break
		}
		if op != 2 || len(p) != 64<<10 || bytes.Count(p, []byte("x")) != len(p) {
			t.Fatalf("a frame was cut: opcode %d, %d bytes", op, len(p))
		}
	}
	_, _ = c.Write(frame(8, []byte{4000 >> 8, 4000 & 0xff}, true))
	if rest, err := io.ReadAll(c.r); len(rest) > 0 {
		t.Errorf("%d bytes after the close (%v)", len(rest), err)
	}
}

func TestPromise6HalfCloseWithAccessLogs(t *testing.T) {
	t.Parallel()
	for _, logs := range []string{"", "log\n"} {
		got := make(chan []byte, 1)
		b := rawBackend(t, func(c *rawConn, r *http.Request) {
			c.accept(r)
			all, _ := io.ReadAll(c.r) // until the client's FIN
			got <- all
			_, _ = c.Write(frame(1, []byte("after your end"), false))
			_ = c.Conn.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c.r)
		})
		s := chat(t, b, "")
		o := s.options
		o.Sites = strings.Replace(o.Sites, "wsgate /ws", logs+"\twsgate /ws", 1)
		s.MustLoad(o)
		c := rawDial(t, s, "/ws/")
		sent := frame(1, []byte("my last words"), true)
		_, _ = c.Write(sent)
		_ = c.Conn.(*net.TCPConn).CloseWrite()
		if all := <-got; !bytes.Equal(all, sent) {
			t.Errorf("backend got %q", all)
		}
		if all, err := io.ReadAll(c.r); err != nil || !bytes.Equal(all, frame(1, []byte("after your end"), false)) {
			t.Errorf("client got %q, %v", all, err)
		}
	}
}

func TestPromise6HalfCloseRightBehindThe101(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		b := rawBackend(t, func(c *rawConn, r *http.Request) {
			c.accept(r)
			_, _ = io.Copy(io.Discard, c.r) // until the client's FIN
			_, _ = c.Write(frame(1, []byte("after your end"), false))
		})
		s := chat(t, b, words)
		for i := range 100 {
			c := rawDial(t, s, "/ws/")
			_ = c.Conn.(*net.TCPConn).CloseWrite()
			if all, err := io.ReadAll(c.r); err != nil || !bytes.Equal(all, frame(1, []byte("after your end"), false)) {
				t.Errorf("tunnel %d: got %q, %v", i, all, err)
			}
		}
	})
}

func TestPromise6EarlyBytesArrive(t *testing.T) {
	t.Parallel()
	hello := frame(1, []byte("sent with the 101"), false)
	b := rawBackend(t, func(c *rawConn, r *http.Request) {
		c.accept(r, "X-Powered-By: something", "Server: old/1.0", "X-Kept: yes")
		_, _ = c.Write(hello)
		_, _ = io.Copy(c, c.r)
	})
	s := chat(t, b, "")
	addr := strings.TrimPrefix(s.url, "ws://")
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(limit))
	mine := frame(1, []byte("sent with the handshake"), true)
	_, _ = conn.Write(append([]byte("GET /ws/ HTTP/1.1\r\nHost: "+addr+"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "+
		sampleKey+"\r\nSec-WebSocket-Version: 13\r\n\r\n"), mine...))
	all := make([]byte, 0, 4096)
	for !bytes.Contains(all, hello) || !bytes.HasSuffix(all, mine) {
		buf := make([]byte, 1024)
		n, err := conn.Read(buf)
		all = append(all, buf[:n]...)
		if err != nil {
			t.Fatalf("got %q: %v", all, err)
		}
	}
	head, _, _ := bytes.Cut(all, []byte("\r\n\r\n"))
	if bytes.Contains(head, []byte("X-Powered-By")) || bytes.Contains(head, []byte("old/1.0")) || !bytes.Contains(head, []byte("X-Kept: yes")) {
		t.Errorf("101 was %q", head)
	}
}

func TestPromise6LostBackendIs1014(t *testing.T) {
	t.Parallel()
	b := rawBackend(t, func(c *rawConn, r *http.Request) {
		c.accept(r)
		_, _, _ = c.next()
		_ = c.Conn.(*net.TCPConn).SetLinger(0) // an RST, not a FIN
	})
	s := chat(t, b, "")
	c := rawDial(t, s, "/ws/")
	_, _ = c.Write(frame(1, []byte("die"), true))
	op, p, err := c.next()
	if err != nil || op != 8 || len(p) < 2 || int(p[0])<<8|int(p[1]) != 1014 {
		t.Errorf("got opcode %d %q %v, want close 1014", op, p, err)
	}
	if _, _, err := c.next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the close: %v", err)
	}
	s.Await("the log line", func() bool { return len(s.Lines("tunnel closed")) == 1 })
	if line := s.Lines("tunnel closed")[0]; line["close_code"] != 1014.0 {
		t.Errorf("logged %v", line)
	}
}
