package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wsgate/wsgate/internal/testcaddy"
)

// Here a record is a FIFO. The storage waits for it and ignores its
// context, as it does for a network mount that is gone.
func TestPromise4StorageThatHangsHoldsUpNoOperator(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	port := testcaddy.Port(t)
	root := filepath.Join(t.TempDir(), "storage")
	if err := os.MkdirAll(filepath.Join(root, "wsgate", "gates"), 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if err := syscall.Mkfifo(filepath.Join(root, "wsgate", "gates", fmt.Sprintf("g%d.json", i)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config := func(n int) testcaddy.Options {
		var text strings.Builder
		for i := range 10 {
			fmt.Fprintf(&text, "\twsgate /g%d/* ws://localhost:%s/ {\n\t\tgate g%d\n\t\tidle_timeout %dh\n\t}\n", i, b.port(), i, n)
		}
		return testcaddy.Options{Global: "storage pipes " + root, Sites: fmt.Sprintf("http://localhost:%d {\n%s}\n", port, text.String())}
	}
	within := func(what string, most time.Duration, do func()) {
		t.Helper()
		began := time.Now()
		do()
		if took := time.Since(began); took > most {
			t.Errorf("%s took %s", what, took)
		}
	}
	var s *site
	within("the start", 7*time.Second, func() {
		s = &site{Server: testcaddy.Start(t, config(1)), t: t, url: fmt.Sprintf("ws://localhost:%d", port)}
	})
	c := s.dial("/g3/")
	echoes(t, c, "the gate follows its configuration")
	if g := s.Gate("g3"); g["stored"] != false || len(g["problems"].([]any)) == 0 {
		t.Errorf("the status does not say that it could not read: %v", g)
	}
	within("GET /config/", 2*time.Second, func() { s.Call("GET", "/config/", "") })
	within("a reload", 7*time.Second, func() { s.MustLoad(config(2)) })
	within("the switch", 6*time.Second, func() {
		if g := s.Switch("g3", `{"mode":"off"}`); g["stored"] != false || g["state"] == "open" {
			t.Errorf("switched: %v", g)
		}
	})
	s.refused("/g3/", http.StatusServiceUnavailable)
	s.Stop(exitLimit)
}

// Caddy waits for a load under way before it stops anything. So a load that
// waits for a storage must not delay an exit.
func TestPromise4ExitWaitsForNoLoadThatWaitsForStorage(t *testing.T) {
	t.Parallel()
	b := rawBackend(t, func(c *rawConn, r *http.Request) { // answers no close
		c.accept(r)
		_, _ = io.Copy(io.Discard, c.r)
	})
	s := chat(t, b, "")
	rawDial(t, s, "/ws/") // neither does the client
	hanging := filepath.Join(t.TempDir(), "storage")
	record := filepath.Join(hanging, "wsgate", "gates", "chat.json")
	if err := os.MkdirAll(filepath.Dir(record), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(record, 0o600); err != nil {
		t.Fatal(err)
	}
	moved := s.options
	moved.Global = "storage pipes " + hanging
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		_, _ = s.Load(moved)
	}()
	s.Await("the record to be read", func() bool { // a pipe can be opened when somebody reads it
		fd, err := syscall.Open(record, syscall.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err == nil {
			t.Cleanup(func() { _ = syscall.Close(fd) }) // until then the reader waits
		}
		return err == nil
	})
	s.Stop(exitLimit)
	<-loaded
}

// Here a storage is slow, but answers. The time that a load may take is not
// multiplied by the number of gates.
func TestPromise4SlowStorageAddsFiveSecondsToALoadAtMost(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	port := testcaddy.Port(t)
	root := filepath.Join(t.TempDir(), "storage")
	if err := os.MkdirAll(filepath.Join(root, "wsgate", "gates"), 0o700); err != nil {
		t.Fatal(err)
	}
	var sites strings.Builder
	for i := range 8 {
		fmt.Fprintf(&sites, "\twsgate /g%d/* ws://localhost:%s/ {\n\t\tgate g%d\n\t}\n", i, b.port(), i)
		path := filepath.Join(root, "wsgate", "gates", fmt.Sprintf("g%d.json", i))
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		go func() { // each record takes two seconds
			f, err := os.OpenFile(path, os.O_WRONLY, 0) //nolint:gosec // the test's own
			if err != nil {
				return
			}
			time.Sleep(2 * time.Second)
			_, _ = io.WriteString(f, `{"mode":"off","at":"2026-11-22T09:00:00Z"}`)
			_ = f.Close()
		}()
	}
	began := time.Now()
	s := &site{Server: testcaddy.Start(t, testcaddy.Options{
		Global: "storage pipes " + root, Sites: fmt.Sprintf("http://localhost:%d {\n%s}\n", port, sites.String()),
	}), t: t, url: fmt.Sprintf("ws://localhost:%d", port)}
	if took := time.Since(began); took > 7*time.Second {
		t.Errorf("the start took %s", took)
	}
	s.Await("the last record", func() bool { return s.Gate("g7")["mode"] == "off" })
}

func TestPromise2FailedLoadLeavesMetricsAndLogsAsTheyWere(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	s := chat(t, b, "")
	c := s.dial("/ws/")
	echoes(t, c, "here")
	var before map[string]string
	s.Await("the echo in the metrics", func() bool { // a moment after the client has it
		before = s.metrics()
		for series, counted := range map[string]string{
			`bytes_total{direction="up",gate="chat"}`: "10", `bytes_total{direction="down",gate="chat"}`: "6",
			`messages_total{direction="up",gate="chat"}`: "1", `messages_total{direction="down",gate="chat"}`: "1",
		} {
			if before["caddy_wsgate_"+series] != counted {
				return false
			}
		}
		return true
	})
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, broken := range map[string]func(o testcaddy.Options) testcaddy.Options{
		"a Start that fails": func(o testcaddy.Options) testcaddy.Options { // the port is taken
			o.Sites = strings.Replace(o.Sites, "gate chat", "gate chat\n\t\tmode off", 1) + "\nhttp://127.0.0.1:" + portOf(taken.Addr()) + " {\n\tbind 127.0.0.1\n\trespond no\n}\n"
			return o
		},
		"a Provision that fails": func(o testcaddy.Options) testcaddy.Options {
			o.Sites = strings.Replace(o.Sites, "gate chat", "gate chat\n\t\tmode off", 1) + "\nhttps://broken.localhost {\n\ttls /no/such.pem /no/such.key\n}\n"
			return o
		},
	} {
		if status, text := s.Load(broken(s.options)); status == http.StatusOK {
			t.Fatalf("%s: %d %s", name, status, text)
		}
		after := s.metrics()
		for series, value := range before {
			if strings.HasPrefix(series, "caddy_wsgate_") && after[series] != value {
				t.Errorf("%s: %s is %q, was %q", name, series, after[series], value)
			}
		}
		for series := range after {
			if strings.HasPrefix(series, "caddy_wsgate_gate_changes") {
				t.Errorf("%s: counted %s", name, series)
			}
		}
	}
	if lines := s.Lines("gate changed"); len(lines) > 0 {
		t.Errorf("logged %v", lines)
	}
	echoes(t, c, "still here")
}
