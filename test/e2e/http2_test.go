package e2e

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2Conn is an HTTP/2 client that shows its frames.
type h2Conn struct {
	t *testing.T
	*http2.Framer
	conn   net.Conn
	fields bytes.Buffer
	encode *hpack.Encoder
}

// wideWindow is a flow-control window that no test fills.
const wideWindow = 1<<31 - 1

// h2Dial connects, and grants windows that no test fills.
func h2Dial(t *testing.T, s *site) *h2Conn {
	t.Helper()
	c := h2Narrow(t, s)
	_ = c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: wideWindow})
	_ = c.WriteWindowUpdate(0, wideWindow-narrowWindow)
	return c
}

// narrowWindow is as much as a connection may be sent by default (RFC 9113
// §6.9.2).
const narrowWindow = 65535

// h2Narrow connects, and grants nothing more than the default.
func h2Narrow(t *testing.T, s *site) *h2Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "wss://"), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.NetConn().Close() })
	_ = conn.SetDeadline(time.Now().Add(3 * limit))
	_, _ = io.WriteString(conn, http2.ClientPreface)
	c := &h2Conn{t: t, Framer: http2.NewFramer(conn, conn), conn: conn}
	c.encode = hpack.NewEncoder(&c.fields)
	_ = c.WriteSettings()
	return c
}

// open sends an extended CONNECT.
func (c *h2Conn) open(stream uint32, s *site) {
	c.t.Helper()
	c.fields.Reset()
	for _, f := range [][2]string{
		{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "https"}, {":path", "/ws/"},
		{":authority", strings.TrimPrefix(s.url, "wss://")}, {"sec-websocket-version", "13"},
	} {
		_ = c.encode.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	if err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: c.fields.Bytes(), EndHeaders: true}); err != nil {
		c.t.Fatal(err)
	}
}

// event is what a stream received: data, or its end.
type event struct {
	data []byte
	end  string // "", END_STREAM, or the code of an RST_STREAM
}

// next reads one frame, and returns its event for a stream.
func (c *h2Conn) next(stream uint32) event {
	c.t.Helper()
	for {
		f, err := c.ReadFrame()
		if err != nil {
			c.t.Fatalf("reading a frame: %v", err)
		}
		if s, ok := f.(*http2.SettingsFrame); ok && !s.IsAck() {
			_ = c.WriteSettingsAck()
		}
		if f.Header().StreamID != stream {
			continue
		}
		switch f := f.(type) {
		case *http2.RSTStreamFrame:
			return event{end: f.ErrCode.String()}
		case *http2.HeadersFrame:
			if f.StreamEnded() {
				return event{end: "END_STREAM"}
			}
		case *http2.DataFrame:
			e := event{data: bytes.Clone(f.Data())}
			if f.StreamEnded() {
				e.end = "END_STREAM"
			}
			return e
		}
	}
}

// ending collects the data of a stream until it ends.
func (c *h2Conn) ending(stream uint32) (data []byte, end string) {
	c.t.Helper()
	for end == "" {
		e := c.next(stream)
		data, end = append(data, e.data...), e.end
	}
	return data, end
}

func TestPromise6HTTP2TunnelEndsWithENDSTREAM(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	s := secure(t, b, `closing drain 5s code 4002 "closed"`)
	c := h2Dial(t, s)
	answer := frame(8, []byte{0x03, 0xe8}, true)

	c.open(1, s) // the client closes
	_ = c.WriteData(1, false, answer)
	data, end := c.ending(1)
	if want := frame(8, []byte{0x03, 0xe8}, false); end != "END_STREAM" || !bytes.Equal(data, want) {
		t.Errorf("client closes: got %q, %s", data, end)
	}

	c.open(3, s) // the gate closes
	_ = c.WriteData(3, false, frame(1, []byte("hello"), true))
	c.next(3)
	s.Switch("chat", `{"mode":"off"}`)
	data = c.next(3).data
	if want := frame(8, append([]byte{4002 >> 8, 4002 & 0xff}, "closed"...), false); !bytes.Equal(data, want) {
		t.Errorf("gate closes: got %q", data)
	}
	_ = c.WriteData(3, true, answer)
	if _, end := c.ending(3); end != "END_STREAM" {
		t.Errorf("gate closes: ended with %s", end)
	}
}

func TestPromise5HTTP2ClientCanAnswerACloseOfItsUpstream(t *testing.T) {
	t.Parallel()
	got := make(chan []byte, 1)
	b := rawBackend(t, rawCloser(got))
	s := secure(t, b, "")
	c := h2Dial(t, s)
	c.open(1, s)
	if e := c.next(1); e.end != "" || !bytes.Equal(e.data, frame(8, []byte{4321 >> 8, 4321 & 0xff}, false)) {
		t.Fatalf("got %+v", e)
	}
	answer := frame(8, []byte{4321 >> 8, 4321 & 0xff}, true)
	quiet := time.NewTimer(300 * time.Millisecond) // a client that has more to read first
	<-quiet.C
	_ = c.WriteData(1, false, answer)
	if !bytes.Equal(<-got, answer) {
		t.Error("the answer did not reach the upstream")
	}
	if _, end := c.ending(1); end != "END_STREAM" {
		t.Errorf("ended with %s", end)
	}
}

func TestPromise4HTTP2ClientThatReadsNothingHoldsUpNobody(t *testing.T) {
	t.Parallel()
	b := flood(t)
	s := secure(t, b, `closing drain 1s`)
	stalled := func() *h2Conn {
		c := h2Dial(t, s)
		c.open(1, s) // and nothing is read
		var before float64
		s.Await("the client's socket to be full", func() bool {
			now := s.Gate("chat")["totals"].(map[string]any)["bytes_down"].(float64)
			full := now > 0 && now == before
			before = now
			return full
		})
		c.open(3, s) // one more, whose answer cannot be written
		return c
	}
	stalled()
	s.Switch("chat", `{"mode":"off"}`)
	s.Await("the stalled tunnels to end", func() bool { return s.Gate("chat")["tunnels"].(float64) == 0 })

	s.Switch("chat", `{"mode":"auto"}`)
	stalled()
	s.Stop(exitLimit)
}

// A tunnel is cut twice here: its client leaves, and data waits for the
// client's window. Such a tunnel once wrote to a stream after its handler had
// returned.
func TestPromise4HTTP2ClientsThatLeaveFullStreamsLeaveTheProcessAlone(t *testing.T) {
	t.Parallel()
	b := flood(t)
	s := secure(t, b, "")
	var clients sync.WaitGroup
	for range 3 {
		clients.Go(func() {
			for range 200 {
				c := h2Narrow(t, s)
				for stream := uint32(1); stream < 9; stream += 2 {
					c.open(stream, s)
				}
				for got := 0; got < narrowWindow; { // the rest waits for the window
					f, err := c.ReadFrame()
					if err != nil {
						t.Errorf("reading a frame: %v", err)
						return
					}
					switch f := f.(type) {
					case *http2.SettingsFrame:
						if !f.IsAck() {
							_ = c.WriteSettingsAck()
						}
					case *http2.DataFrame:
						got += len(f.Data())
					}
				}
				_ = c.conn.(*tls.Conn).NetConn().Close()
			}
		})
	}
	clients.Wait()
	s.Await("the tunnels to end", func() bool { return s.Gate("chat")["tunnels"].(float64) == 0 })
	if log := s.Log(); strings.Contains(log, "panic") || strings.Contains(log, "DATA RACE") {
		t.Error(log)
	}
}
