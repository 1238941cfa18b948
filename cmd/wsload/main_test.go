package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/coder/websocket"

	_ "github.com/wsgate/wsgate"
)

// TestMain lets the test's own binary be what a comparison starts: Caddy, and
// the backend.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "run":
			caddycmd.Main()
			return
		case "backend":
			if err := run(os.Args[1:]); err != nil {
				os.Exit(1)
			}
			return
		}
	}
	os.Exit(m.Run())
}

// served returns the URL of a backend of the generator's own.
func served(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go serveBackend(ln)
	return "ws://" + ln.Addr().String() + "/"
}

func TestFramesComeBackAsTheyWent(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 125, 126, 1<<16 - 1, 1 << 16, 1 << 20} {
		for _, masked := range []bool{false, true} {
			r := bufio.NewReader(bytes.NewReader(frame(2, make([]byte, size), masked)))
			op, n, _, err := header(r)
			rest, _ := io.ReadAll(r)
			if err != nil || op != 2 || n != uint64(size) || len(rest) != size {
				t.Errorf("%d bytes, masked %v: opcode %d, length %d, %d left, %v", size, masked, op, n, len(rest), err)
			}
		}
	}
}

func TestBackendEchoesWhatAClientHasMasked(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, served(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseNow() }()
	if err := c.Write(ctx, websocket.MessageText, []byte("grüße")); err != nil {
		t.Fatal(err)
	}
	if _, got, err := c.Read(ctx); string(got) != "grüße" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestFiguresOfAProcessThatNobodyLookedAtAreLeftOut(t *testing.T) {
	t.Parallel()
	r := report{{"messages", 1, ""}, {"CPU per message", 0, "µs"}, {"PSS per tunnel", 0, "KiB"}, {"descriptors more", 0, ""}}
	if got := r.withoutProcess(); len(got) != 1 || got[0].Name != "messages" {
		t.Errorf("got %v", got)
	}
}

func TestFiguresOfMany(t *testing.T) {
	t.Parallel()
	ms := []time.Duration{3, 1, 2, 100}
	if a, b := quantile(ms, .5), quantile(ms, 1); a != 3 || b != 100 || quantile(nil, .5) != 0 {
		t.Errorf("quantiles %d, %d", a, b)
	}
	if a, b := median([]float64{5, 1, 3, math.NaN()}), median([]float64{4, 1, 2, 3}); a != 3 || b != 2.5 || median(nil) != 0 {
		t.Errorf("medians %f, %f", a, b)
	}
	if a, b := quartile([]float64{5, 1, 3, 2, 4}, 1), quartile([]float64{4, 1, 2, 3}, 3); a != 2 || b != 3.25 || quartile([]float64{7}, 3) != 7 {
		t.Errorf("quartiles %f, %f", a, b)
	}
	// The machine is half as fast for the second and third turn: three quarters
	// all the same.
	if got := median(ratios([]float64{3, 6, 6, 3}, []float64{4, 8, 8, 4})); got != 0.75 {
		t.Errorf("the ratio is %f", got)
	}
	if got := median(ratios([]float64{3}, []float64{4, 8, 8})); got != 0.375 {
		t.Errorf("the ratio of what took no turns is %f", got)
	}
}

func TestProcIsRead(t *testing.T) {
	t.Parallel()
	own, ended, err := parseStat("1 (a ) b) S 1 1 1 0 -1 0 0 0 0 0 7 3 2 1 20 0")
	if err != nil || own != 100*time.Millisecond || ended != 30*time.Millisecond {
		t.Errorf("processor time %s and %s, %v", own, ended, err)
	}
	if _, _, err := parseStat("nonsense"); err == nil {
		t.Error("nonsense is read")
	}
	if got := parsePSS("Rss: 8 kB\nPss:      12 kB\nPss_Dirty: 3 kB\n"); got != 12<<10 {
		t.Errorf("PSS %d", got)
	}
	if _, err := os.Stat("/proc/self/smaps_rollup"); err != nil {
		return // not Linux: nothing to look at
	}
	u, err := processUseOf(os.Getpid())
	if err != nil || u.PSS == 0 || u.FDs == 0 {
		t.Errorf("this process: %+v, %v", u, err)
	}
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	if own, _, err = parseStat(string(stat)); err != nil {
		t.Fatal(err)
	}
	// What other tests take meanwhile, and a tick or two of rounding, lie
	// between.
	if exact, ok := cpuClock(os.Getpid()); !ok || exact < own-2*tick || exact > own+time.Second {
		t.Errorf("the clock says %s, %t, /proc %s", exact, ok, own)
	}
	if _, ok := cpuClock(1<<22 + 1); ok { // more than Linux ever gives
		t.Error("a process that there is not has a clock")
	}
}

func TestBadFlagsAreRefused(t *testing.T) {
	t.Parallel()
	taken := strings.TrimSuffix(strings.TrimPrefix(served(t), "ws://"), "/")
	for want, args := range map[string][]string{
		"unknown verb":     {"shout"},
		"--url is missing": {"echo"},
		"loopback":         {"echo", "--url", "ws://192.0.2.1/"},
		"want ws://":       {"echo", "--url", "http://localhost/"},
		"out of bounds":    {"echo", "--url", "ws://localhost/", "--tunnels", "0"},
		"unexpected":       {"echo", "--url", "ws://localhost/", "more"},
		"192.0.2.2":        {"drain", "--url", "ws://localhost/", "--beside", "ws://192.0.2.2/"},
		"--admin":          {"reload", "--url", served(t), "--config", os.DevNull, "--tunnels", "1"},
		"unknown side":     {"compare", "--binary", os.Args[0], "--sides", "nobody", "--rounds", "1", "--only", "paced"},

		"want name=ws://":              {"compare", "--also", "nginx"},
		`"=ws://localhost/": want nam`: {"compare", "--also", "=ws://localhost/"},
		`"nginx=": "": want ws://`:     {"compare", "--also", "nginx="},
		"192.0.2.3":                    {"compare", "--also", "nginx=ws://192.0.2.3/"},
		`"master" is not a process`:    {"compare", "--also", "nginx=ws://localhost/,master"},
		`"" is not a process`:          {"compare", "--also", "nginx=ws://localhost/,"},
		`"0" is not a process`:         {"compare", "--also", "nginx=ws://localhost/,0"},
		"no process 2147483647":        {"compare", "--also", "nginx=ws://localhost/,2147483647"},
		"two of the name":              {"compare", "--also", "nginx=ws://localhost/", "--also", "nginx=ws://localhost/two"},
		`"wsgate" is a column`:         {"compare", "--also", "wsgate=ws://localhost/"},
		`"ratio" is a column`:          {"compare", "--also", "ratio=ws://localhost/"},
		`"third quartile" is a column`: {"compare", "--also", "third quartile=ws://localhost/"},
		"--listen":                     {"compare", "--listen", ":7900"},
		"192.0.2.4":                    {"compare", "--listen", "192.0.2.4:7900"},
		"no echo through":              {"compare", "--binary", os.Args[0], "--also", "nginx=ws://localhost:1/", "--sides", "nobody"},
		"does not listen on":           {"compare", "--binary", os.Args[0], "--listen", taken, "--sides", "nobody"},
	} {
		if err := run(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %q", args, err, want)
		}
	}
}

func TestVerbsMeasure(t *testing.T) {
	t.Parallel()
	url := served(t)
	pid := 0
	if _, err := os.Stat("/proc/self/smaps_rollup"); err == nil {
		pid = os.Getpid()
	}
	for verb, want := range map[string]string{
		"handshake": "handshakes a second", "echo": "messages", "stream": "MiB a second", "idle": "",
		"churn": "connections", "fairness": "p99 alone",
	} {
		t.Run(verb, func(t *testing.T) {
			o := &options{url: url, pid: pid, tunnels: 4, size: 64, count: 20, duration: 100 * time.Millisecond, down: true}
			for _, v := range verbs {
				if v.name != verb {
					continue
				}
				r, err := v.run(o)
				if err != nil || len(r) == 0 {
					t.Fatalf("%v, %v", r, err)
				}
				if want != "" && r.value(want) <= 0 {
					t.Errorf("%s is %f in %v", want, r.value(want), r)
				}
				var table bytes.Buffer
				r.print(&table)
				if !strings.Contains(table.String(), r[0].Name) {
					t.Errorf("the table is %s", &table)
				}
			}
		})
	}
	up := &options{url: url, size: 1 << 16, duration: 100 * time.Millisecond}
	if r, err := streams(up); err != nil || r.value("MiB a second") <= 0 {
		t.Errorf("up: %v, %v", r, err)
	}
}

// gate is a stand-in for a gate and its admin endpoint.
type gate struct {
	mu    sync.Mutex
	conns []net.Conn
	calls []string
}

// ServeHTTP sends every tunnel a close frame when the gate is switched off.
func (g *gate) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = append(g.calls, r.URL.Path)
	if !bytes.Contains(body, []byte(`"off"`)) {
		return
	}
	for _, c := range g.conns {
		_, _ = c.Write(frame(8, []byte("\x03\xf4measured"), false))
		_ = c.(*net.TCPConn).CloseWrite()
	}
}

func (g *gate) accept(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		g.mu.Lock()
		g.conns = append(g.conns, c)
		g.mu.Unlock()
		go func() { _ = serveOne(c) }()
	}
}

func TestDrainCountsWhoWasTold(t *testing.T) {
	t.Parallel()
	g := new(gate)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go g.accept(ln)
	admin := httptest.NewServer(g)
	defer admin.Close()
	o := &options{
		url: "ws://" + ln.Addr().String() + "/", beside: served(t), admin: admin.Listener.Addr().String(),
		gate: "chat", tunnels: 10, stalled: 2, duration: 50 * time.Millisecond,
	}
	r, err := drain(o)
	if err != nil {
		t.Fatal(err)
	}
	if r.value("tunnels that read") != 8 || r.value("closed with code and reason") != 8 || r.value("handshakes beside it, p99 before") <= 0 {
		t.Errorf("got %v", r)
	}
	if want := []string{"/wsgate/gates/chat", "/wsgate/gates/chat"}; !slices.Equal(g.calls, want) {
		t.Errorf("calls %q", g.calls)
	}
}

func TestReloadCountsWhatIsLost(t *testing.T) {
	t.Parallel()
	g := new(gate)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go g.accept(ln)
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cache-Control") != "must-revalidate" {
			w.WriteHeader(http.StatusBadRequest)
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		_ = g.conns[0].Close() // each load loses the first tunnel
	}))
	defer admin.Close()
	o := &options{
		url: "ws://" + ln.Addr().String() + "/", admin: admin.Listener.Addr().String(), config: os.DevNull,
		tunnels: 5, count: 3, duration: time.Millisecond,
	}
	r, err := reloads(o)
	if err != nil || r.value("tunnels lost") != 1 {
		t.Errorf("got %v, %v", r, err)
	}
}

func TestCompareRunsBothSides(t *testing.T) {
	if _, err := os.Stat("/proc/self/smaps_rollup"); err != nil {
		t.Skip("costs are read from /proc")
	}
	o := &options{
		binary: os.Args[0], listen: "127.0.0.1:0", rounds: 1, sides: "stock,wsgate", only: "echo 1 KiB", duration: 300 * time.Millisecond,
		json: true, svg: filepath.Join(t.TempDir(), "chart.svg"),
	}
	r, err := compare(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"stock", "wsgate", "ratio"} {
		if r.value("echo 1 KiB, CPU, "+name) <= 0 {
			t.Errorf("no figure for %s in %v", name, r)
		}
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	picture, err := os.ReadFile(o.svg)
	if err != nil || xml.Unmarshal(picture, new(struct{})) != nil || !bytes.Contains(picture, []byte("echo 1 KiB")) {
		t.Errorf("the chart is %.200s, %v", picture, err)
	}
}

func TestCompareRunsTheCaddyThatItBuilds(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil || testing.Short() {
		t.Skip("building takes a while and needs Go")
	}
	t.Chdir("../..")
	o := &options{listen: "127.0.0.1:0", rounds: 1, sides: "wsgate", only: "echo 1 KiB", duration: 100 * time.Millisecond, json: true}
	if _, err := compare(o); err != nil {
		t.Error(err)
	}
}
