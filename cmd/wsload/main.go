// Command wsload measures the cost of WebSocket tunnels, for any ws:// or
// wss:// URL on a loopback address and the process that serves it. With the
// verb compare it runs stock reverse_proxy and wsgate from the same binary in
// turn, and prints ratios.
//
//	wsload echo    --url ws://127.0.0.1:8080/ --pid 4711
//	wsload compare
//
// Every run has a limit of time and count.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"time"
)

// options are the flags of all verbs. Each verb uses some of them.
type options struct {
	url      string
	pid      int
	insecure bool
	json     bool

	tunnels  int
	size     int
	rate     int
	duration time.Duration
	count    int
	down     bool
	stalled  int
	streams  int
	beside   string
	admin    string
	gate     string
	config   string
	listen   string
	to       string

	binary string
	rounds int
	sides  string
	only   string
	tls    bool
	svg    string
	splice bool
	also   alsoFlag
	peers  []peer // parsed from also

	start *processUse // memory is the growth since this; nil: since just before the tunnels
}

// verbs in the order of the help.
var verbs = []struct {
	name, help string
	run        func(*options) (report, error)
}{
	{"handshake", "open and close tunnels one after the other on several workers", handshakes},
	{"echo", "send messages and wait for their echo", echoes},
	{"stream", "send messages one way as fast as possible", streams},
	{"idle", "open tunnels, one echo on each, and look at the memory", idle},
	{"drain", "open tunnels, some of which do not read, close the gate, and wait", drain},
	{"reload", "open tunnels, load a configuration several times, and count", reloads},
	{"churn", "connect and disconnect many times, and look at what is left", churn},
	{"fairness", "echo on quiet tunnels beside a greedy one", fairness},
	{"compare", "stock reverse_proxy and wsgate in turn, from the same binary", compare},
	{"forward", "forward TCP connections to --to by splicing, until standard input ends", forward},
	{"backend", "serve as a backend until standard input ends: /echo, /sink and /source", backend},
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "wsload:", err)
		}
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 || slices.Contains([]string{"help", "-h", "--help"}, args[0]) {
		usage()
		return flag.ErrHelp
	}
	for _, v := range verbs {
		if v.name != args[0] {
			continue
		}
		o, err := parse(v.name, args[1:])
		if err != nil {
			return err
		}
		r, err := v.run(o)
		if err != nil {
			return err
		}
		if o.pid == 0 && v.name != "compare" {
			r = r.withoutProcess()
		}
		if o.json {
			return json.NewEncoder(os.Stdout).Encode(r)
		}
		r.print(os.Stdout)
		return nil
	}
	usage()
	return fmt.Errorf("unknown verb %q", args[0])
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: wsload <verb> [flags]")
	for _, v := range verbs {
		fmt.Fprintf(os.Stderr, "  %-10s %s\n", v.name, v.help)
	}
}

func parse(verb string, args []string) (*options, error) {
	o := new(options)
	f := flag.NewFlagSet("wsload "+verb, flag.ContinueOnError)
	f.StringVar(&o.url, "url", "", "what to measure: ws:// or wss://, on a loopback address")
	f.IntVar(&o.pid, "pid", 0, "the process that serves it, with its descendants (0: its cost is not measured)")
	f.BoolVar(&o.insecure, "insecure", false, "do not verify certificates")
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.IntVar(&o.tunnels, "tunnels", 64, "how many tunnels")
	f.IntVar(&o.size, "size", 64, "bytes of a message")
	f.IntVar(&o.rate, "rate", 0, "messages a second over all tunnels (0: as fast as possible)")
	f.DurationVar(&o.duration, "duration", 3*time.Second, "how long to measure")
	f.IntVar(&o.count, "count", 2000, "handshakes, connections or loads to make")
	f.BoolVar(&o.down, "down", true, "stream from the backend to the client, else the other way")
	f.IntVar(&o.streams, "streams", 1, "how many tunnels stream at once")
	f.IntVar(&o.stalled, "stalled", 0, "tunnels that do not read")
	f.StringVar(&o.beside, "beside", "", "another URL, of another gate, whose handshakes are timed before and during a drain")
	f.StringVar(&o.admin, "admin", "", "Caddy's admin endpoint, host:port")
	f.StringVar(&o.gate, "gate", "default", "the gate to close")
	f.StringVar(&o.config, "config", "", "JSON configuration to load")
	f.StringVar(&o.listen, "listen", "127.0.0.1:0", "where the backend listens, for servers that forward to it; in a comparison on a loopback address")
	f.StringVar(&o.to, "to", "", "where forward connects, host:port on a loopback address")
	f.StringVar(&o.binary, "binary", "", "a Caddy with wsgate (default: build ./cmd/caddy)")
	f.IntVar(&o.rounds, "rounds", 3, "rounds of a comparison")
	f.StringVar(&o.sides, "sides", "stock,wsgate", "what to compare; the first is 1")
	f.StringVar(&o.only, "only", "", "only rows whose name contains this")
	f.BoolVar(&o.tls, "tls", false, "TLS towards the client in a comparison")
	f.StringVar(&o.svg, "svg", "", "draw the ratios of a comparison into this file")
	f.BoolVar(&o.splice, "splice", false, "also compare with a bare TCP forwarder that splices, without HTTP")
	f.Var(&o.also, "also", "`name=url[,pid]` of another server to compare, which forwards every path to the backend (--listen);\n"+
		"with a process id CPU and memory count too, those of its descendants included. It is not started\n"+
		"afresh for each row: its memory is the growth since the comparison began, measured once, before\n"+
		"the rounds. What it reserved when it started, or kept from an earlier run, is not in it: start it anew")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if o.tunnels < 1 || o.tunnels > 15_000 || o.size < 1 || o.size > 1<<30 || o.count < 1 || o.count > 1_000_000 ||
		o.duration <= 0 || o.duration > 10*time.Minute || o.rounds < 1 || o.rounds > 100 || o.stalled > o.tunnels || o.streams < 1 || o.streams > 1000 {
		return nil, errors.New("a number is out of bounds: tunnels 1-15000, size 1-1 GiB, count 1-1000000, duration up to 10m, rounds 1-100, streams 1-1000")
	}
	for _, u := range []string{o.url, o.beside} {
		if u == "" {
			continue
		}
		if err := loopback(u); err != nil {
			return nil, err
		}
	}
	if verb == "compare" {
		if err := loopback("ws://" + o.listen); err != nil {
			return nil, fmt.Errorf("--listen: %w", err)
		}
	}
	var err error
	if o.peers, err = parsePeers(o.also); err != nil {
		return nil, err
	}
	if verb == "forward" {
		if err := loopback("ws://" + o.to); err != nil {
			return nil, fmt.Errorf("--to: %w", err)
		}
	}
	if o.url == "" && !slices.Contains([]string{"compare", "backend", "forward"}, verb) {
		return nil, errors.New("--url is missing")
	}
	return o, nil
}

// loopback refuses a URL that is not on a loopback address.
func loopback(s string) error {
	u, err := url.Parse(s)
	if err != nil {
		return err
	}
	if u.Scheme != "ws" && u.Scheme != "wss" {
		return fmt.Errorf("%q: want ws:// or wss://", s)
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("%q: load goes to loopback addresses only", s)
	}
	return nil
}
