package tunnel

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/wsgate/wsgate/tunnel/internal/alone"
	"github.com/wsgate/wsgate/tunnel/internal/sock"
)

// limit bounds every step of a test.
const limit = 20 * time.Second

// leaks say what tests have left behind, if anything.
var leaks = []func() string{func() string { return alone.LeftOver("wsgate/tunnel") }}

// TestMain fails when a test leaves something behind.
func TestMain(m *testing.M) {
	code := m.Run()
	for _, leak := range leaks {
		if left := leak(); left != "" && code == 0 {
			fmt.Println("left over:\n" + left)
			code = 1
		}
	}
	os.Exit(code)
}

// pair returns both ends of a connection.
type pair func(t testing.TB) (near, far net.Conn)

func tcpPair(t testing.TB) (near, far net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dialed := make(chan net.Conn, 1)
	go func() {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			close(dialed)
			return
		}
		dialed <- c
	}()
	near, err = ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	far = <-dialed
	t.Cleanup(func() { _ = far.Close() })
	_ = far.SetDeadline(time.Now().Add(3 * limit))
	return near, far
}

var certificate = sync.OnceValue(func() tls.Certificate {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"test"}}
	der, _ := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

func tlsPair(t testing.TB) (near, far net.Conn) {
	t.Helper()
	return secured(t, false)
}

// secured makes TLS connections; whole: whose first records are not smaller
// than the rest.
func secured(t testing.TB, whole bool) (near, far net.Conn) {
	t.Helper()
	n, f := tcpPair(t)
	server := tls.Server(n, &tls.Config{Certificates: []tls.Certificate{certificate()}, DynamicRecordSizingDisabled: whole})
	client := tls.Client(f, &tls.Config{InsecureSkipVerify: true, ServerName: "test", DynamicRecordSizingDisabled: whole})
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return server, client
}

// wrapped hides what a connection is, as unknown wrappers do.
type wrapped struct{ net.Conn }

func (w wrapped) CloseWrite() error { return w.Conn.(*net.TCPConn).CloseWrite() }

func wrappedPair(t testing.TB) (near, far net.Conn) {
	n, f := tcpPair(t)
	return wrapped{n}, f
}

// announced is what a PROXY protocol listener makes: it shows its socket, and
// cannot be half-closed itself.
type announced struct{ net.Conn }

func (a announced) Raw() net.Conn { return a.Conn }

func (a announced) TCPConn() (*net.TCPConn, bool) {
	c, ok := a.Conn.(*net.TCPConn)
	return c, ok
}

func announcedPair(t testing.TB) (near, far net.Conn) {
	n, f := tcpPair(t)
	return announced{n}, f
}

// streaming is a connection that cannot end one direction alone, as a stream of
// HTTP/2 is.
type streaming struct{ net.Conn }

func streamingPair(t testing.TB) (near, far net.Conn) {
	n, f := tcpPair(t)
	return streaming{n}, f
}

// dialledPair is made by Dial, and has waited in the set for a byte.
func dialledPair(t testing.TB) (near, far net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	noSet.RLock()
	near, free, err := Dial(t.Context(), new(net.Dialer), "tcp", ln.Addr().String())
	noSet.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	if far, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	_ = far.SetDeadline(time.Now().Add(3 * limit))
	go func() { _, _ = far.Write([]byte("!")) }()
	if n, err := near.Read(make([]byte, 9)); n != 1 || err != nil || !free() {
		t.Fatalf("got %d bytes and %v", n, err)
	}
	return near, far
}

// ways are the combinations of connections and engines that all must agree.
var ways = []struct {
	name             string
	set              bool
	client, upstream pair
}{
	{"set, TCP", true, tcpPair, tcpPair},
	{"goroutines, TCP", false, tcpPair, tcpPair},
	{"set, TLS client", true, tlsPair, tcpPair},
	{"goroutines, TLS client", false, tlsPair, tcpPair},
	{"set, dialled upstream", true, tcpPair, dialledPair},
	{"set, TLS client, dialled upstream", true, tlsPair, dialledPair},
	{"set, TLS both", true, tlsPair, tlsPair},
	{"set, PROXY client", true, announcedPair, tcpPair},
	{"goroutines, PROXY client", false, announcedPair, tcpPair},
	{"set, wrapped client", true, wrappedPair, tcpPair},
	{"set, wrapped upstream", true, tcpPair, wrappedPair},
}

// rig is a tunnel with both peers.
type rig struct {
	*Tunnel
	t                testing.TB
	client, upstream net.Conn // the far ends
	ended            chan Result
}

// owner receives the result.
type owner chan Result

func (o owner) Ended(res Result) { o <- res }

func (owner) HalfOpen() time.Duration { return 0 }

// noSet keeps tests that turn the set off from those that need it on.
var noSet sync.RWMutex

func newRig(t testing.TB, set bool, client, upstream pair) *rig {
	t.Helper()
	r := &rig{t: t, ended: make(chan Result, 1)}
	r.Tunnel = New(Options{Owner: owner(r.ended)})
	var c, u net.Conn
	c, r.client = client(t)
	u, r.upstream = upstream(t)
	r.startOn(set, Peer{Conn: c}, Peer{Conn: u})
	t.Cleanup(func() {
		r.Close(Closing{By: ByError, Code: 1001, Deadline: past})
		r.Wait()
	})
	return r
}

// startOn starts with or without a set.
func (r *rig) startOn(set bool, client, upstream Peer) {
	noSet.Lock()
	defer noSet.Unlock()
	sock.Off.Store(!set)
	defer sock.Off.Store(false)
	r.Start(client, upstream)
}

// everyWay runs a test over all ways.
func everyWay(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			f(t, newRig(t, w.set, w.client, w.upstream))
		})
	}
}

// result waits for the end.
func (r *rig) result() Result {
	r.t.Helper()
	select {
	case res := <-r.ended:
		return res
	case <-time.After(limit):
		r.t.Fatalf("the tunnel does not end: %+v, up %b, down %b", r.Stats(), r.up.met.Load(), r.down.met.Load())
		return Result{}
	}
}

func (r *rig) write(c net.Conn, p []byte) {
	r.t.Helper()
	if _, err := c.Write(p); err != nil {
		r.t.Fatalf("writing: %v", err)
	}
}

// expect reads exactly want.
func (r *rig) expect(c net.Conn, want []byte) {
	r.t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		r.t.Fatalf("got %d bytes %.60q (%v), want %d bytes %.60q", n, got[:n], err, len(want), want)
	}
}

// expectEnd reads nothing more but the end.
func (r *rig) expectEnd(c net.Conn) {
	r.t.Helper()
	if rest, err := io.ReadAll(c); len(rest) > 0 || err != nil {
		r.t.Fatalf("got %d bytes %.60q and %v, want the end", len(rest), rest, err)
	}
}

// closeWrite sends a FIN.
func closeWrite(c net.Conn) { _ = c.(interface{ CloseWrite() error }).CloseWrite() }

// beneath returns the socket of a test's connection.
func beneath(c net.Conn) net.Conn {
	if secured, is := c.(*tls.Conn); is {
		return secured.NetConn()
	}
	return c
}

// reset sends an RST.
func reset(c net.Conn) {
	tcp := beneath(c).(*net.TCPConn)
	_ = tcp.SetLinger(0)
	_ = tcp.Close()
}
