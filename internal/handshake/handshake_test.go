package handshake

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

const (
	key    = "dGhlIHNhbXBsZSBub25jZQ=="
	accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

func TestAcceptKeyIsTheRFCs(t *testing.T) {
	for _, key := range []string{key, "AQIDBAUGBwgJCgsMDQ4PEC==", "AQIDBAUGBwgJCgsMDQ4PEA=="} { // the second is RFC 6455 §4.1's
		r := overConnection("GET / HTTP/1.1\nHost: x\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: " + key)
		if err := Check(r); err != nil {
			t.Errorf("key %q: %v", key, err)
		}
	}
	if got := AcceptKey(key); got != accept {
		t.Errorf("got %s", got)
	}
}

func parse(t testing.TB, text string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n") + "\r\n\r\n")))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return r
}

const good = "GET /ws/ HTTP/1.1\nHost: x\nUpgrade: websocket\nConnection: keep-alive, Upgrade\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: " + key

func TestHandshakesAreRecognised(t *testing.T) {
	for text, want := range map[string]bool{
		good: true,
		"GET / HTTP/1.1\nHost: x\nUpgrade: WebSocket":                    true,
		"GET / HTTP/1.1\nHost: x\nUpgrade: h2c, websocket":               true,
		"GET / HTTP/1.1\nHost: x\nUpgrade: h2c":                          false,
		"GET / HTTP/1.1\nHost: x\nUpgrade: foo\nUpgrade: a WEBSOCKET/13": true, // a backend may accept it
		"GET / HTTP/1.1\nHost: x\nUpgrade: \"websocket\"":                true,
		"GET / HTTP/1.1\nHost: x\nUpgrade: websoc\u212aet":               true, // the Kelvin sign, whose small letter is k: reverse_proxy makes it so
		"GET / HTTP/1.1\nHost: x\nUpgrade: web\u017focket":               true, // a long s, whose capital is S
		"GET / HTTP/1.1\nHost: x":                                        false,
	} {
		if Is(parse(t, text)) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

func TestWhatIsNoHandshakeIsRefused(t *testing.T) {
	tests := []struct {
		name, text string
		status     int
	}{
		{"a good one", good, 0},
		{"with subprotocols", good + "\nSec-WebSocket-Protocol: a, b\nSec-WebSocket-Protocol: c", 0},
		{"two protocols", strings.Replace(good, "Upgrade: websocket", "Upgrade: websocket, foo/2", 1), 400},
		{"a Kelvin sign", strings.Replace(good, "Upgrade: websocket", "Upgrade: websoc\u212aet", 1), 400},
		{"a version", strings.Replace(good, "Upgrade: websocket", "Upgrade: websocket/13", 1), 400},
		{"another method", strings.Replace(good, "GET", "PUT", 1), 400},
		{"HTTP/1.0", strings.Replace(good, "HTTP/1.1", "HTTP/1.0", 1), 400},
		{"a body", good + "\nContent-Length: 3", 400},
		{"no Connection", strings.Replace(good, "keep-alive, Upgrade", "keep-alive", 1), 400},
		{"no key", strings.Replace(good, "Sec-WebSocket-Key: "+key, "X: y", 1), 400},
		{"two keys", good + "\nSec-WebSocket-Key: " + key, 400},
		{"a key of 15 bytes", strings.Replace(good, key, "AAAAAAAAAAAAAAAAAAAA", 1), 400},
		{"Connection names the key", strings.Replace(good, "keep-alive, Upgrade", "Upgrade, sec-websocket-key", 1), 400},
		{"Connection names Origin on a second line", good + "\nConnection: ORIGIN", 400},
		{"Connection names the key behind a space that is none", strings.Replace(good, "keep-alive, Upgrade", "Upgrade,\u00a0Sec-WebSocket-Key", 1), 400},
		{"Connection names what a handler in front has set", strings.Replace(good, "keep-alive, Upgrade", "Upgrade, X-User", 1) + "\nX-User: ana", 400},
		{"101 subprotocols", good + "\nSec-WebSocket-Protocol: " + many(101), 400},
		{"101 extensions", good + "\nSec-WebSocket-Extensions: " + many(101), 400},
		{"Connection names X-Forwarded-For", strings.Replace(good, "keep-alive, Upgrade", "x-forwarded-for,Upgrade", 1), 400},
		{"version 12", strings.Replace(good, "Version: 13", "Version: 12", 1), 426},
		{"two versions", good + "\nSec-WebSocket-Version: 13", 426},
		{"no version", strings.Replace(good, "Sec-WebSocket-Version: 13\n", "", 1), 426},
		{"a subprotocol twice", good + "\nSec-WebSocket-Protocol: a, b, a", 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Check(parse(t, tt.text))
			var m *Malformed
			switch {
			case tt.status == 0 && err != nil:
				t.Error(err)
			case tt.status != 0 && (!errors.As(err, &m) || m.Status != tt.status):
				t.Errorf("got %v, want %d", err, tt.status)
			case tt.status == 426 && len(m.Header["Sec-WebSocket-Version"]) != 1:
				t.Error("426 does not name the version")
			}
		})
	}
}

// The next handler would pipe any other CONNECT to a backend, and a handshake
// could be sent through the pipe.
func TestConnectForAnythingElseIsRefused(t *testing.T) {
	for name, r := range map[string]*http.Request{
		"HTTP/2, plain":                  {ProtoMajor: 2, Proto: "HTTP/2.0", Method: "CONNECT", Header: http.Header{}},
		"HTTP/2, another protocol":       {ProtoMajor: 2, Proto: "HTTP/2.0", Method: "CONNECT", Header: http.Header{":protocol": {"connect-udp"}}},
		"HTTP/2, capitals":               {ProtoMajor: 2, Proto: "HTTP/2.0", Method: "CONNECT", Header: http.Header{":protocol": {"WebSocket"}}},
		"HTTP/2, capitals, another verb": {ProtoMajor: 2, Proto: "HTTP/2.0", Method: "GET", Header: http.Header{":protocol": {"WebSocket"}}},
		"HTTP/3, plain":                  {ProtoMajor: 3, Proto: "HTTP/3.0", Method: "CONNECT", Header: http.Header{}},
		"HTTP/3, another protocol":       {ProtoMajor: 3, Proto: "connect-udp", Method: "CONNECT", Header: http.Header{}},
		"HTTP/3, a Kelvin sign":          {ProtoMajor: 3, Proto: "websoc\u212aet", Method: "CONNECT", Header: http.Header{}},
	} {
		var m *Malformed
		if err := Check(r); !Is(r) || !errors.As(err, &m) || m.Status != 400 {
			t.Errorf("%s: %v, %v", name, Is(r), err)
		}
	}
	for name, r := range map[string]*http.Request{
		"HTTP/2": {ProtoMajor: 2, Proto: "HTTP/2.0", Method: "GET", Header: http.Header{"Upgrade": {"websocket"}}},
		"HTTP/3": {ProtoMajor: 3, Proto: "HTTP/3.0", Method: "POST", Header: http.Header{}},
	} {
		if Is(r) {
			t.Errorf("%s: any other request is none of ours", name)
		}
	}
}

func TestFalseClaimsAreFound(t *testing.T) {
	asked := http.Header{"Sec-WebSocket-Protocol": {"v1, v2, odd;q=1, ;"}, "Sec-Websocket-Extensions": {"permessage-deflate; client_max_window_bits, x-other, ; b"}}
	honest := func() http.Header {
		return http.Header{"Upgrade": {"WebSocket"}, "Connection": {"upgrade"}, "Sec-Websocket-Accept": {accept}}
	}
	set := func(name string, values ...string) http.Header {
		h := honest()
		h[name] = values
		return h
	}
	for name, h := range map[string]http.Header{
		"plain": honest(), "a subprotocol": set("Sec-Websocket-Protocol", "v2"),
		"an extension": set("Sec-Websocket-Extensions", "permessage-deflate; server_max_window_bits=10"),
	} {
		if err := CheckAnswer(asked, h, key); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, h := range map[string]http.Header{
		"wrong accept": set("Sec-Websocket-Accept", "x"), "no accept": set("Sec-Websocket-Accept"), "two accepts": set("Sec-Websocket-Accept", accept, accept),
		"another subprotocol": set("Sec-Websocket-Protocol", "v3"), "two subprotocols": set("Sec-Websocket-Protocol", "v1", "v2"),
		"a list of subprotocols": set("Sec-Websocket-Protocol", "v1, v2"), "another extension": set("Sec-Websocket-Extensions", "permessage-bzip2"),
		"h2c": set("Upgrade", "h2c"), "two protocols": set("Upgrade", "websocket", "websocket"), "no upgrade": set("Upgrade"),
		"a Kelvin sign": set("Upgrade", "websoc\u212aet"), "no connection": set("Connection"),
		"a subprotocol without its parameter": set("Sec-Websocket-Protocol", "odd"), "an empty subprotocol": set("Sec-Websocket-Protocol", ""),
		"an extension more often than asked for": set("Sec-Websocket-Extensions", "permessage-deflate", "permessage-deflate"),
		"an extension without a name":            set("Sec-Websocket-Extensions", "; a"), "a no-break space": set("Sec-Websocket-Extensions", "x-other\u00a0"),
	} {
		var claim *FalseClaim
		if err := CheckAnswer(asked, h, key); !errors.As(err, &claim) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTakeGivesTheInnermostConnectionAndWhatCameEarly(t *testing.T) {
	taken := make(chan net.Conn, 1)
	early := make(chan []byte, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rest, err := (&Handshake{Writer: outer{w}, Request: r}).Accept(http.Header{"X-From": {"backend"}})
		if err != nil {
			t.Error(err)
		}
		early <- rest
		taken <- conn
	}))
	defer srv.Close()
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(c, strings.ReplaceAll(good, "\n", "\r\n")+"\r\n\r\nearly")
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Sec-Websocket-Accept") != accept || resp.Header.Get("X-From") != "backend" {
		t.Fatalf("%v %v", resp, err)
	}
	conn := <-taken
	defer conn.Close()
	if _, ok := conn.(*net.TCPConn); !ok {
		t.Errorf("got a %T", conn)
	}
	rest := <-early
	for len(rest) < 5 {
		b := make([]byte, 5)
		n, err := conn.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		rest = append(rest, b[:n]...)
	}
	if string(rest) != "early" {
		t.Errorf("early bytes %q", rest)
	}
}

func TestTakeIsNotTakenInByAHalfClose(t *testing.T) {
	taken := make(chan net.Conn, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := (&Handshake{Writer: slow{w, r}, Request: r}).Accept(nil)
		if err != nil {
			t.Error(err)
		}
		taken <- conn
	}))
	defer srv.Close()
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(c, strings.ReplaceAll(good, "\n", "\r\n")+"\r\n\r\n")
	r := bufio.NewReader(c)
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 101 {
		t.Fatalf("%v %v", resp, err)
	}
	_ = c.(*net.TCPConn).CloseWrite()
	conn := <-taken
	if conn == nil {
		return
	}
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read %d, %v", n, err)
	}
	_, _ = io.WriteString(conn, "after your end")
	_ = conn.Close()
	if rest, err := io.ReadAll(r); err != nil || string(rest) != "after your end" {
		t.Errorf("got %q, %v", rest, err)
	}
}

// slow is the innermost writer of a server that has sent its 101 and receives
// the client's FIN before the connection is hijacked.
type slow struct {
	http.ResponseWriter
	r *http.Request
}

func (s slow) FlushError() error { return http.NewResponseController(s.ResponseWriter).Flush() }

func (s slow) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	_ = s.FlushError()
	<-s.r.Context().Done()
	return http.NewResponseController(s.ResponseWriter).Hijack()
}

// outer is the writer of some other handler.
type outer struct{ http.ResponseWriter }

func (o outer) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// The test would take minutes if the code searched one list for each element of
// the other.
func TestPromise7ClaimsCostTimeLinearInWhatWasSent(t *testing.T) {
	offers := many(100_000)
	asked := http.Header{"Sec-Websocket-Extensions": {offers}, "Sec-Websocket-Protocol": {offers}}
	answered := http.Header{
		"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-Websocket-Accept": {AcceptKey(key)},
		"Sec-Websocket-Extensions": {offers}, "Sec-Websocket-Protocol": {"x99999"},
	}
	began := time.Now()
	if err := CheckAnswer(asked, answered, key); err != nil {
		t.Error(err)
	}
	r := &http.Request{ProtoMajor: 2, Header: asked}
	if err := Check(r); err == nil {
		t.Error("100 000 offers are taken")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestBodyOfAStreamIsTakenWithoutLimitsOfHandlersInFront(t *testing.T) {
	plain := httptest.NewRequest("CONNECT", "/", nil)
	plain.ProtoMajor = 2
	limited := plain.Clone(plain.Context())
	limited.Body = http.MaxBytesReader(nil, http.NoBody, 1)
	if _, err := streamBody(limited); err == nil {
		t.Error("a limit that cannot be taken off is kept")
	}
	reader := &caddyhttp.IdleTimeoutReader{ReadCloser: http.NoBody}
	limited = limited.WithContext(caddyhttp.ContextWithIdleTimeouts(t.Context(), reader, nil))
	if body, err := streamBody(limited); err != nil || body != io.ReadCloser(reader) {
		t.Errorf("behind Caddy's reader: %v %v", body, err)
	}
	reader.ReadCloser = http.MaxBytesReader(nil, http.NoBody, 1)
	if _, err := streamBody(limited); err == nil {
		t.Error("a limit beneath Caddy's reader is kept")
	}
}

// many returns a list of n names.
func many(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("x", i)
	}
	return strings.Join(names, ", ")
}
