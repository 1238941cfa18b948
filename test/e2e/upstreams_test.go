package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wsgate/wsgate/internal/testcaddy"
)

// sites runs a Caddyfile's sites, on a port given as {$PORT}.
func sites(t *testing.T, global, text string) *site {
	t.Helper()
	port := testcaddy.Port(t)
	o := testcaddy.Options{Global: global, Sites: strings.ReplaceAll(text, "{$PORT}", fmt.Sprint(port))}
	return &site{Server: testcaddy.Start(t, o), t: t, options: o, url: fmt.Sprintf("ws://localhost:%d", port)}
}

func TestUpstreamsOfAllKindsCarry(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	socket := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	other := newBackend(t)
	_ = other.Listener.Close()
	other.Listener = ln
	other.Start()
	t.Cleanup(other.Close)
	s := sites(t, "", fmt.Sprintf(`http://localhost:{$PORT} {
	map {query.where} {where} {
		here localhost:%[1]s
	}
	wsgate /placeholder {where} {
		gate placeholder
	}
	wsgate /dynamic {
		gate dynamic
		dynamic a localhost %[1]s
	}
	wsgate /unix unix/%[2]s {
		gate unix
	}
	wsgate /range ws://localhost:%[1]s-%[1]s {
		gate range
	}
}
`, b.port(), socket))
	for path, upstream := range map[string]string{
		"/placeholder?where=here": "dynamic", "/dynamic": "dynamic", "/unix": "unix/" + socket, "/range": "localhost:" + b.port(),
	} {
		echoes(t, s.dial(path), path)
		s.Await("the tunnel of "+path, func() bool {
			for _, line := range s.Lines("tunnel opened") {
				if name, _, _ := strings.Cut(path[1:], "?"); line["gate"] == name && line["upstream"] == upstream {
					return true
				}
			}
			return false
		})
	}
}

func TestUpstreamLimitsCountTunnelsAlsoAcrossReloads(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		b := plainBackend(t)
		s := chat(t, b, words+"unhealthy_request_count 2")
		first, second := s.dial("/ws/"), s.dial("/ws/")
		s.refused("/ws/", http.StatusServiceUnavailable)
		o := s.options
		o.Sites = strings.Replace(o.Sites, "gate chat", "gate chat\n\t\theader_up X-Changed yes", 1)
		s.MustLoad(o)
		s.refused("/ws/", http.StatusServiceUnavailable)
		_ = first.CloseNow()
		s.Await("room", func() bool { return s.Gate("chat")["tunnels"].(float64) == 1 })
		echoes(t, s.dial("/ws/"), "room again")
		echoes(t, second, "still here")
	})
}

func TestTwoDirectivesOfAGateKeepTheirOwnTimeouts(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	s := sites(t, "", fmt.Sprintf(`http://localhost:{$PORT} {
	wsgate /long ws://localhost:%[1]s {
		gate chat
		idle_timeout 1h
	}
	wsgate /short ws://localhost:%[1]s {
		gate chat
		idle_timeout 400ms
	}
	wsgate /life ws://localhost:%[1]s {
		gate chat
		max_lifetime 500ms
	}
}
`, b.port()))
	long, short, life := s.dial("/long"), s.dial("/short"), s.dial("/life")
	closedWith(t, short, 1001, "idle timeout", limit)
	closedWith(t, life, 1001, "maximum lifetime reached", limit)
	s.MustLoad(s.options)
	echoes(t, long, "no limit of mine")
}

func TestPromise6HalfCloseBehindAPROXYListener(t *testing.T) {
	t.Parallel()
	got := make(chan []byte, 1)
	b := rawBackend(t, func(c *rawConn, r *http.Request) {
		c.accept(r)
		_, _ = c.Write(frame(1, []byte("my last words"), false))
		_ = c.Conn.(*net.TCPConn).CloseWrite()
		all, _ := io.ReadAll(c.r)
		got <- all
	})
	s := sites(t, "servers {\n\t\tlistener_wrappers {\n\t\t\tproxy_protocol {\n\t\t\t\tallow 127.0.0.0/8\n\t\t\t}\n\t\t}\n\t}", "http://localhost:{$PORT} {\n\twsgate ws://localhost:"+b.port()+"\n}\n")
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "ws://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(limit))
	fmt.Fprintf(c, "PROXY TCP4 192.0.2.7 127.0.0.1 5000 80\r\nGET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n", sampleKey)
	all, err := io.ReadAll(c) // until the upstream's FIN
	if err != nil || !bytes.HasSuffix(all, frame(1, []byte("my last words"), false)) {
		t.Fatalf("got %q, %v", all, err)
	}
	mine := frame(1, []byte("you may still hear me"), true)
	_, _ = c.Write(mine)
	_ = c.(*net.TCPConn).CloseWrite()
	if heard := <-got; !bytes.Equal(heard, mine) {
		t.Errorf("the upstream heard %q", heard)
	}
	s.Await("the tunnel's end", func() bool { return len(s.Lines("tunnel closed")) == 1 })
	if line := s.Lines("tunnel closed")[0]; line["client_ip"] != "192.0.2.7" {
		t.Errorf("logged %v", line)
	}
}

func TestPromise2RefusedLoadIsAnErrorAndNoPanic(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	s := chat(t, b, "")
	c := s.dial("/ws/")
	refused := func(name, words, want string) {
		t.Helper()
		o := s.options
		o.Sites = strings.Replace(o.Sites, "gate chat", "gate chat\n\t\t"+words, 1)
		if status, body := s.Load(o); status != http.StatusBadRequest || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	missing := filepath.Join(t.TempDir(), "no-such-ca.pem")
	refused("a missing CA", "transport http {\n\t\t\ttls_trust_pool file "+missing+"\n\t\t\ttls\n\t\t}", "want wss://")
	o := s.options
	o.Sites = strings.Replace(o.Sites, "ws://127.0.0.1", "wss://127.0.0.1", 1)
	o.Sites = strings.Replace(o.Sites, "gate chat", "gate chat\n\t\ttransport http {\n\t\t\ttls_trust_pool file "+missing+"\n\t\t}", 1)
	if status, body := s.Load(o); status != http.StatusBadRequest || !strings.Contains(body, "no-such-ca.pem") {
		t.Errorf("a missing CA: %d %s", status, body)
	}
	echoes(t, c, "still here")
	if log := s.Log(); strings.Contains(log, "panic") {
		t.Errorf("the log has a panic: %s", log)
	}
}

func TestPromise9ReaderThatStopsCostsOneBuffer(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("memory of a process is read from /proc")
	}
	b := flood(t)
	s := chat(t, b, "")
	rss := func() (kib int) {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
		for line := range strings.Lines(string(text)) {
			_, _ = fmt.Sscanf(line, "VmRSS: %d kB", &kib)
		}
		return kib
	}
	rawDial(t, s, "/ws/") // the first one warms
	before := rss()
	const n = 100
	for range n {
		rawDial(t, s, "/ws/") // never reads
	}
	moved := func() float64 { return s.Gate("chat")["totals"].(map[string]any)["bytes_down"].(float64) }
	last := moved()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	s.Await("all sockets to be full", func() bool {
		<-tick.C
		now := moved()
		full := now == last
		last = now
		return full
	})
	if grown := rss() - before; grown > n*96*memoryOverhead { // a buffer has 64 KiB, and a goroutine waits with it
		t.Errorf("%d readers that stopped cost %d KiB", n, grown)
	}
}

func TestPromise9MemoryOfHandshakesIsGivenBack(t *testing.T) {
	t.Parallel()
	s := chat(t, plainBackend(t), "")
	o := s.options
	o.Global = "debug"
	s.MustLoad(o)
	const n = 300
	open := many(s, n)
	const message = "memory of handshakes given back to the system"
	s.Await("the log line", func() bool { return len(s.Lines(message)) == 1 })
	if line := s.Lines(message)[0]; line["tunnels"] != float64(n) || line["logger"] != "http.handlers.wsgate" {
		t.Errorf("got %v", line)
	}
	allEcho(t, open, "afterwards")
}

func TestPromise9HugeMessagePassesInConstantMemory(t *testing.T) {
	t.Parallel()
	const size = hugestMessage
	b := rawBackend(t, func(c *rawConn, r *http.Request) {
		c.accept(r)
		_, _ = c.Write(binary.BigEndian.AppendUint64([]byte{0x82, 127}, size))
		part := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		for range size / len(part) {
			if _, err := c.Write(part); err != nil {
				return
			}
		}
		_, _ = c.Write(frame(8, nil, false))
		_, _ = io.Copy(io.Discard, c.r)
	})
	s := chat(t, b, "")
	c := rawDial(t, s, "/ws/")
	n, err := io.CopyN(io.Discard, c.r, size+10)
	if err != nil {
		t.Fatalf("%d bytes: %v", n, err)
	}
	if op, _, err := c.next(); op != 8 || err != nil {
		t.Errorf("behind it: opcode %d, %v", op, err)
	}
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	var peak int
	for line := range strings.Lines(string(text)) {
		_, _ = fmt.Sscanf(line, "VmHWM: %d kB", &peak)
	}
	if peak > 256<<10*memoryOverhead {
		t.Errorf("a message of %d MiB took %d MiB at its peak", size>>20, peak>>10)
	}
	s.Await("the message to be counted", func() bool {
		return fmt.Sprint(s.Gate("chat")["totals"].(map[string]any)["messages_down"]) == "1"
	})
}
