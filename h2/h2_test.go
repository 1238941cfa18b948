package h2_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"golang.org/x/net/http2"

	_ "github.com/wsgate/wsgate"
	_ "github.com/wsgate/wsgate/h2"
	"github.com/wsgate/wsgate/internal/testcaddy"
)

func TestMain(m *testing.M) { testcaddy.Main(m) }

func TestImportTurnsWebSocketOverHTTP2On(t *testing.T) {
	if !strings.Contains(os.Getenv("GODEBUG"), "http2xconnect=1") {
		t.Fatalf("GODEBUG is %q", os.Getenv("GODEBUG"))
	}
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	port := testcaddy.Port(t)
	s := testcaddy.Start(t, testcaddy.Options{
		Env:   []string{"GODEBUG="}, // the import alone
		Sites: fmt.Sprintf("https://localhost:%d {\n\twsgate ws://%s {\n\t\tmode off\n\t}\n}\n", port, backend.Addr()),
	})
	rt := &http2.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer rt.CloseIdleConnections()
	s.Await("a certificate and an answer", func() bool {
		r, w := io.Pipe()
		defer w.Close()
		resp, err := rt.RoundTrip(&http.Request{
			Method: http.MethodConnect, URL: &url.URL{Scheme: "https", Host: fmt.Sprintf("localhost:%d", port), Path: "/"}, Host: "localhost",
			Header: http.Header{":protocol": {"websocket"}, "Sec-Websocket-Version": {"13"}}, Body: r, ContentLength: -1,
		})
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("a closed gate answers %s", resp.Status)
		}
		return true
	})
	s.Stop(4500 * time.Millisecond)
}
