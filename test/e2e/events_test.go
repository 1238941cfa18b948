package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/wsgate/wsgate/internal/testcaddy"
)

func init() { caddy.RegisterModule(new(note)) }

// note is a handler of Caddy's events that writes them to a file, or hangs.
type note struct {
	File string `json:"file,omitempty"`
	Hang bool   `json:"hang,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*note) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.note", New: func() caddy.Module { return new(note) }}
}

// UnmarshalCaddyfile reads note <file>|hang.
func (n *note) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.NextArg() {
		return d.ArgErr()
	}
	if n.Hang = d.Val() == "hang"; !n.Hang {
		n.File = d.Val()
	}
	return nil
}

// Handle writes an event to the file.
func (n *note) Handle(_ context.Context, e caddy.Event) error {
	if n.Hang {
		select {}
	}
	line, err := json.Marshal(map[string]any{"event": e.Name(), "data": e.Data})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(n.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

var _ caddyevents.Handler = (*note)(nil)

// noted returns the events in a file of note.
func noted(t *testing.T, file string) (all []map[string]any) {
	t.Helper()
	raw, err := os.ReadFile(file) //nolint:gosec // the test's own
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		var n map[string]any
		if err := json.Unmarshal([]byte(line), &n); err != nil {
			t.Fatal(err)
		}
		all = append(all, n)
	}
	return all
}

// quickly fails the test if something takes longer than an operator may wait.
func quickly(t *testing.T, what string, do func()) {
	t.Helper()
	began := time.Now()
	do()
	if took := time.Since(began); took > time.Second { // 50 ms, on a machine that does nothing else
		t.Errorf("%s took %s", what, took)
	}
}

func TestCaddysEventHandlersHearOfGatesAndDrains(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	file := filepath.Join(t.TempDir(), "notes")
	s := chatWith(t, b, "events {\n\t\ton wsgate.gate_changed note "+file+"\n\t\ton wsgate.drain_finished note "+file+"\n\t}", "")
	c := s.dial("/ws/")
	echoes(t, c, "here")
	s.Switch("chat", `{"mode":"off","reason":"fire","actor":"ana","ttl":"1h","closing":{"policy":"drain","deadline":"10s"}}`)
	closedWith(t, c, 1013, "fire", limit)
	s.Await("the end of the drain", func() bool { return len(noted(t, file)) == 2 })
	s.Switch("chat", `{"mode":"auto","actor":"ben"}`)
	s.Await("three events", func() bool { return len(noted(t, file)) == 3 })
	all := noted(t, file)
	changed, finished, again := all[0]["data"].(map[string]any), all[1]["data"].(map[string]any), all[2]["data"].(map[string]any)
	if all[0]["event"] != "wsgate.gate_changed" || changed["gate"] != "chat" || changed["state"] != "closed" || changed["mode"] != "off" ||
		changed["cause"] != "override" || changed["reason"] != "fire" || changed["actor"] != "ana" || changed["from"] != "127.0.0.1" || changed["until"] == "" {
		t.Errorf("%v", all[0])
	}
	if took, ok := finished["duration"].(float64); all[1]["event"] != "wsgate.drain_finished" || finished["gate"] != "chat" || finished["told"] != 1.0 || !ok || took <= 0 || took > 10 {
		t.Errorf("%v", all[1])
	}
	if all[2]["event"] != "wsgate.gate_changed" || again["state"] != "open" || again["mode"] != "auto" || again["actor"] != "ben" || again["until"] != "" {
		t.Errorf("%v", all[2])
	}
	s.Await("the end of the drain in the log", func() bool { return len(s.Lines("drain finished")) == 1 })
}

func TestPromise3EventHandlerThatHangsStopsOnlyCaddysEvents(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	s := chatWith(t, b, "events {\n\t\ton wsgate.gate_changed note hang\n\t}", "")
	for i := range 3 {
		quickly(t, "the switch", func() { s.Switch("chat", `{"mode":"off"}`) })
		s.refused("/ws/", http.StatusServiceUnavailable)
		quickly(t, "the switch", func() { s.Switch("chat", `{"mode":"on"}`) })
		quickly(t, "a handshake", func() { echoes(t, s.dial("/ws/"), "here") })
		s.Await("the log", func() bool { return len(s.Lines("gate changed")) == 2*i+2 })
	}
	file := filepath.Join(t.TempDir(), "notes")
	mended := s.options
	mended.Global = strings.Replace(mended.Global, "note hang", "note "+file, 1)
	s.MustLoad(mended)
	s.Switch("chat", `{"mode":"off","reason":"after the reload"}`)
	s.Await("the event", func() bool {
		return slices.ContainsFunc(noted(t, file), func(n map[string]any) bool {
			return n["data"].(map[string]any)["reason"] == "after the reload"
		})
	})
	s.Stop(exitLimit)
}

// fullPipe returns a pipe that is full, and the words of a log that writes to
// it: every writer waits until somebody reads.
func fullPipe(t *testing.T) (pipe *os.File, log string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(name, os.O_RDWR, 0) //nolint:gosec // the test's own
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pipe.Close() })
	_ = pipe.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	for err == nil {
		_, err = pipe.Write(make([]byte, 4096))
	}
	return pipe, fmt.Sprintf("log full {\n\t\toutput file %s {\n\t\t\troll_disabled\n\t\t}\n\t\tinclude http.handlers.wsgate admin.api.wsgate\n\t}", name)
}

// drained reads what is in the pipe until nothing comes any more, and returns the
// lines in it.
func drained(t *testing.T, pipe *os.File) (lines []map[string]any) {
	t.Helper()
	var all []byte
	for buf := make([]byte, 1<<16); ; {
		_ = pipe.SetReadDeadline(time.Now().Add(time.Second))
		n, err := pipe.Read(buf)
		if all = append(all, buf[:n]...); err != nil {
			break
		}
	}
	for line := range bytes.Lines(bytes.Trim(all, "\x00")) {
		var l map[string]any
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		lines = append(lines, l)
	}
	return lines
}

// Nobody reads this log.
func TestPromise3LogThatBlocksHoldsUpNobody(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	_, global := fullPipe(t)
	s := chatWith(t, b, global, "")
	held := s.dial("/ws/")
	for range 5 {
		quickly(t, "the switch", func() { s.Switch("chat", `{"mode":"off","closing":{"policy":"keep"}}`) })
		quickly(t, "a refusal", func() { s.refused("/ws/", http.StatusServiceUnavailable) })
		quickly(t, "the switch", func() { s.Switch("chat", `{"mode":"on"}`) })
		quickly(t, "a handshake", func() { echoes(t, s.dial("/ws/"), "here") })
	}
	if g := s.Gate("chat"); g["stored"] != true {
		t.Errorf("not stored: %v", g)
	}
	s.MustLoad(testcaddy.Options{Sites: s.options.Sites}) // a log that can be written
	s.Switch("chat", `{"mode":"off","reason":"after the reload","closing":{"policy":"keep"}}`)
	s.Await("the log of the new configuration", func() bool { return strings.Contains(s.Log(), "after the reload") })
	echoes(t, held, "still here")
	s.Stop(exitLimit)
}

// refusedOften sends handshakes over one connection, to a gate that is closed.
func refusedOften(t *testing.T, s *site, n int) {
	t.Helper()
	host := strings.TrimPrefix(s.url, "ws://")
	c, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	from := bufio.NewReader(c)
	for range n {
		fmt.Fprintf(c, "GET /ws/ HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", host)
		r, err := http.ReadResponse(from, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil || r.StatusCode != http.StatusServiceUnavailable {
			t.Fatal(r.Status, err)
		}
	}
}

func TestPromise3EachLineIsLoggedLateOrCountedOnce(t *testing.T) {
	t.Parallel()
	pipe, global := fullPipe(t)
	s := chatWith(t, plainBackend(t), global, "")
	const refusals, switches = 4300, 100
	s.Switch("chat", `{"mode":"off","reason":"s0"}`)
	refusedOften(t, s, refusals)
	for i := range switches {
		s.Switch("chat", fmt.Sprintf(`{"mode":%q,"reason":"s%d"}`, []string{"on", "off"}[i%2], i+1))
	}
	lines := drained(t, pipe)
	counts := make(map[any]int)
	missed := 0
	for _, l := range lines {
		if n, ok := l["missed"].(float64); ok {
			missed += int(n)
			continue
		}
		if l["msg"] == "gate switched" {
			if want := fmt.Sprintf("s%d", counts["gate switched"]); l["reason"] != want || l["logger"] != "admin.api.wsgate" {
				t.Errorf("switch %s is %v", want, l)
			}
		}
		counts[l["msg"]]++
	}
	if counts["gate switched"] != switches+1 {
		t.Errorf("%d switches of %d", counts["gate switched"], switches+1)
	}
	if got := counts["handshake refused"] + counts["gate changed"] + missed; missed == 0 || got != refusals+switches+1 {
		t.Errorf("%v and %d missed: want %d refusals, and %d changes", counts, missed, refusals, switches+1)
	}
	if last := lines[len(lines)-1]; last["msg"] != "gate changed" && last["msg"] != "gate switched" {
		t.Errorf("the last line is %v", last)
	}
}

func TestPromise3LogReturnsHoweverManyReloadsItHung(t *testing.T) {
	t.Parallel()
	_, global := fullPipe(t)
	s := chatWith(t, plainBackend(t), global, "")
	for i := range 6 {
		s.Switch("chat", fmt.Sprintf(`{"mode":%q,"reason":"s%d"}`, []string{"off", "on"}[i%2], i))
		o := s.options
		o.Global += fmt.Sprintf("\n\tgrace_period %ds", i+1)
		s.MustLoad(o)
		time.Sleep(1100 * time.Millisecond) // so long the sink may take
	}
	file := filepath.Join(t.TempDir(), "good")
	o := s.options
	o.Global = fmt.Sprintf("log audit {\n\t\toutput file %s\n\t\tinclude admin.api.wsgate\n\t}", file)
	s.MustLoad(o)
	s.Switch("chat", `{"mode":"off","reason":"after the reload"}`)
	s.Await("the log", func() bool {
		text, _ := os.ReadFile(file) //nolint:gosec // the test's own
		return bytes.Contains(text, []byte("after the reload"))
	})
	text, err := os.ReadFile(file) //nolint:gosec // the test's own
	if err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		if n := strings.Count(string(text), fmt.Sprintf(`"reason":"s%d"`, i)); n != 1 {
			t.Errorf("switch %d is in %d lines", i, n)
		}
	}
	if n := strings.Count(string(text), `"again":true`); n != 1 {
		t.Errorf("%d lines may be in the other log, too", n)
	}
	if strings.Contains(string(text), "handlers") {
		t.Errorf("it has lines of another logger: %s", text)
	}
}

func TestSwitchesHaveALogOfTheirOwn(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "audit")
	s := chatWith(t, plainBackend(t), "log audit {\n\t\toutput file "+file+"\n\t\tinclude admin.api.wsgate\n\t}", "")
	s.Switch("chat", `{"mode":"off","actor":"ana"}`)
	if status, _ := s.Call(http.MethodPut, "/wsgate/flags/OWN_LOG", `{"value":"1"}`); status != http.StatusOK {
		t.Fatal(status)
	}
	s.Await("both lines", func() bool {
		text, _ := os.ReadFile(file) //nolint:gosec // the test's own
		return bytes.Count(text, []byte("\n")) == 2 && bytes.Contains(text, []byte("gate switched")) && bytes.Contains(text, []byte("flag set"))
	})
	if n := len(s.Lines("gate switched")); n != 0 { // Caddy leaves out there what a log includes
		t.Errorf("%d lines in Caddy's default log", n)
	}
}
