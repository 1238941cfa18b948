package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// Caddy's reverse_proxy and many backends accept more requests as a handshake
// than RFC 6455 does, and pipe every CONNECT. The gate and the matcher must
// treat the same requests as handshakes.
func TestPromise3NothingThatABackendCouldTakeForAHandshakeGetsPastAClosedGate(t *testing.T) {
	t.Parallel()
	for name, site := range map[string]string{
		"a route that leaves handshakes out": "\twsgate /ws/* ws://%[1]s { gate chat\n mode off\n }\n\t@page not ws_handshake\n\treverse_proxy @page %[1]s\n",
		"a gate for every path":              "\twsgate ws://%[1]s {\n\t\tgate chat\n\t\tmode off\n\t}\n\treverse_proxy %[1]s\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			taken := make(chan string, 100)
			b := rawBackend(t, func(c *rawConn, r *http.Request) { // takes anything for a handshake
				if up := r.Header.Get("Upgrade"); up != "" || r.Method == http.MethodConnect {
					taken <- fmt.Sprint(r.Method, " ", r.URL, " ", up)
				}
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
			})
			text := strings.ReplaceAll(fmt.Sprintf(site, "127.0.0.1:"+b.port()), "{ gate chat\n mode off\n }", "{\n\t\tgate chat\n\t\tmode off\n\t}")
			s := secure(t, b, "")
			o := s.options
			head, _, _ := strings.Cut(o.Sites, "\twsgate")
			o.Sites = head + text + "}\n"
			s.MustLoad(o)
			host := strings.TrimPrefix(s.url, "wss://")
			for _, upgrade := range []string{
				"websocket", "WebSocket", "webSoc\u212aet", "web\u017focket", "websocket/13", `"websocket"`, "websocket;a=b", "foo websocket", "h2c, websocket", "websocket\r\nUpgrade: foo",
			} {
				for _, path := range []string{"/ws/x", "/beside"} {
					conn, err := tls.Dial("tcp", host, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
					if err != nil {
						t.Fatal(err)
					}
					_ = conn.SetDeadline(time.Now().Add(limit))
					fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: %s\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", path, host, upgrade)
					resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
					if err != nil {
						t.Fatal(err)
					}
					if resp.StatusCode == http.StatusSwitchingProtocols {
						t.Errorf("%q at %s: %s", upgrade, path, resp.Status)
					}
					_ = conn.NetConn().Close()
				}
			}
			h2, h3 := h2Transport(t), &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}}}
			t.Cleanup(func() { _ = h3.Close() })
			for version, rt := range map[string]http.RoundTripper{"HTTP/2": h2, "HTTP/3": h3} {
				for _, protocol := range []string{"", "WebSocket", "connect-udp", "websocket"} {
					r, w := io.Pipe()
					req := &http.Request{
						Method: http.MethodConnect, URL: &url.URL{Scheme: "https", Host: host, Path: "/ws/x"}, Host: host, Body: r, ContentLength: -1, Header: http.Header{},
					}
					switch {
					case protocol == "":
						req.URL.Path = ""
					case version == "HTTP/2":
						req.Header[":protocol"] = []string{protocol}
					default:
						req.Proto = protocol
					}
					go func() {
						_, _ = io.WriteString(w, "GET /ws/smuggled HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
						_ = w.Close()
					}()
					if resp, err := rt.RoundTrip(req.WithContext(t.Context())); err == nil {
						_, _ = io.Copy(io.Discard, resp.Body)
						_ = resp.Body.Close()
					}
					_ = r.Close()
				}
			}
			if status, _ := get(t, s, "/page"); status != http.StatusOK {
				t.Errorf("a page: %d", status)
			}
			close(taken)
			for what := range taken {
				t.Errorf("the backend got %s", what)
			}
		})
	}
}

// get asks for a page.
func get(t *testing.T, s *site, path string) (status int, body string) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true, DialContext: new(net.Dialer).DialContext,
	}, Timeout: limit}
	resp, err := c.Get(strings.Replace(s.url, "wss", "https", 1) + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}
