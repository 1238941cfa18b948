package e2e

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wsgate/wsgate/internal/testcaddy"
)

// recorder is a backend that stores the head of each request, unchanged.
func recorder(t *testing.T) (addr string, heads <-chan string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	got := make(chan string, 1)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(limit))
			r := textproto.NewReader(bufio.NewReader(c))
			first, _ := r.ReadLine()
			lines := []string{first}
			key := ""
			for {
				line, err := r.ReadLine()
				if err != nil || line == "" {
					break
				}
				if name, value, _ := strings.Cut(line, ": "); strings.EqualFold(name, "Sec-WebSocket-Key") {
					key = value
				}
				lines = append(lines, line)
			}
			slices.Sort(lines[1:]) // their order says nothing
			got <- strings.Join(lines, "\n")
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+acceptKey(key)+"\r\n\r\n")
			_ = c.Close()
		}
	}()
	return ln.Addr().String(), got
}

// oddHeaders are fields that a proxy reads or changes, with valid and invalid
// values.
var oddHeaders = []string{
	"X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 203.0.113.9, 10.0.0.1", "X-Forwarded-For:", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example",
	"Via: 1.0 somebody", "Forwarded: for=1.2.3.4", "User-Agent: test/1", "User-Agent:", "Te: trailers", "TE: gzip, trailers", "Te: gzip", "Trailer: X-T",
	"Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "Proxy-Authorization: Basic eDp5", "Alt-Svc: h3=\":443\"", "Accept-Encoding: gzip, br", "Cookie: a=1; b=2", "Cookie: c=3",
	"X-Hop: gone", "Origin: https://a.example", "Sec-WebSocket-Protocol: chat, v2", "Sec-WebSocket-Protocol: more", "sec-websocket-extensions: permessage-deflate; client_max_window_bits",
	"Authorization: Bearer x", "Expect: 100-continue", "X-Empty:", "x-lower-case: Yes", "Incremental: ?1", "Early-Data: 1", "Content-Type: text/plain", "Date: today", "Content-Length: 0",
}

func TestPromise6TheShortWaySendsWhatReverseProxySends(t *testing.T) {
	t.Parallel()
	addr, heads := recorder(t)
	short, long := testcaddy.Port(t), testcaddy.Port(t)
	site := func(port int, more string) string {
		return fmt.Sprintf("http://:%d {\n\twsgate /ws/* ws://%s/base/ {\n\t\tgate g%d\n\t\theader_up X-Up {http.reverse_proxy.upstream.hostport}-{http.reverse_proxy.upstream.port}\n\t\theader_up -Authorization\n\t\t%s\n\t}\n}\n", port, addr, port, more)
	}
	for name, global := range map[string]string{
		"a stranger": "", "a trusted proxy": "servers {\n\t\ttrusted_proxies static private_ranges\n\t}",
	} {
		t.Run(name, func(t *testing.T) {
			testcaddy.Start(t, testcaddy.Options{Global: global, Sites: site(short, "") + site(long, "trusted_proxies 192.0.2.1")})
			source := rand.New(rand.NewPCG(1, 2))
			for i := range len(oddHeaders) + 150 {
				var fields []string
				if i < len(oddHeaders) {
					fields = []string{oddHeaders[i]}
				} else {
					for range source.IntN(8) {
						fields = append(fields, oddHeaders[source.IntN(len(oddHeaders))])
					}
				}
				target := []string{"/ws/", "/ws/a%2Fb?q=1&r=%20", "http://other.example/ws/x", "/ws/ä?ö"}[i%4]
				connection := []string{"Upgrade", "keep-alive, Upgrade", "upgrade, X-Hop", "Upgrade, Te"}[source.IntN(4)]
				head := "GET " + target + " HTTP/1.1\r\nHost: chat.example\r\nUpgrade: WebSocket\r\nConnection: " + connection + "\r\nSec-WebSocket-Key: " + sampleKey + "\r\nSec-WebSocket-Version: 13\r\n"
				for _, f := range fields {
					head += f + "\r\n"
				}
				var got [2]string
				var answers [2]string
				for j, port := range []int{short, long} {
					answers[j] = answerTo(t, port, head+"\r\n")
					select {
					case got[j] = <-heads:
					default: // refused before it got there
					}
				}
				if got[0] == "" && strings.HasPrefix(answers[0], "101") || got[0] != got[1] || answers[0] != answers[1] {
					t.Errorf("%q\nthe short way: %s\n%s\nreverse_proxy: %s\n%s", head, answers[0], got[0], answers[1], got[1])
				}
			}
		})
	}
}

// answerTo sends a request and returns the answer's head without its date.
func answerTo(t *testing.T, port int, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(limit))
	_, _ = io.WriteString(c, text)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	resp.Header.Del("Date")
	return fmt.Sprint(resp.Status, resp.Header)
}
