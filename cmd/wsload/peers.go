package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// peer is another server to compare. It runs before the comparison and after
// it.
type peer struct {
	name, url string
	pid       int // 0: its cost is not measured

	start processUse // at the start of the comparison; set by checkPeer
}

// alsoFlag collects the values of --also.
type alsoFlag []string

func (a *alsoFlag) String() string     { return strings.Join(*a, " ") }
func (a *alsoFlag) Set(s string) error { *a = append(*a, s); return nil }

// parsePeers reads name=url or name=url,pid.
func parsePeers(also []string) ([]peer, error) {
	var all []peer
	for _, s := range also {
		p, err := parsePeer(s)
		if err != nil {
			return nil, fmt.Errorf("--also %q: %w", s, err)
		}
		if slices.ContainsFunc(all, func(other peer) bool { return other.name == p.name }) {
			return nil, fmt.Errorf("--also %q: there are two of the name %q", s, p.name)
		}
		all = append(all, p)
	}
	return all, nil
}

func parsePeer(s string) (peer, error) {
	name, rest, ok := strings.Cut(s, "=")
	url, id, withID := strings.Cut(rest, ",")
	p := peer{name: name, url: url}
	if !ok || name == "" {
		return p, errors.New("want name=ws://… or name=ws://…,pid")
	}
	if _, ok := directives[name]; ok || slices.Contains([]string{"ratio", "first quartile", "third quartile"}, name) {
		return p, fmt.Errorf("%q is a column of the comparison already", name)
	}
	if err := loopback(url); err != nil {
		return p, err
	}
	if withID {
		n, err := strconv.Atoi(id)
		if err != nil || n < 1 {
			return p, fmt.Errorf("%q is not a process id", id)
		}
		p.pid = n
		return p, checkProcess(n)
	}
	return p, nil
}

// checkProcess refuses a process whose use cannot be read, and this process
// with the ones above it.
func checkProcess(pid int) error {
	if _, err := processUseOf(pid); err != nil {
		return err
	}
	below, err := descendants(pid)
	if self := os.Getpid(); pid == self || slices.Contains(below, self) {
		return fmt.Errorf("process %d is this one or above it, so what measures would be measured too", pid)
	}
	return err
}

// checkPeer makes sure that a peer carries tunnels to the backend. It also
// stores the peer's use before any load.
func (c *comparison) checkPeer(p *peer) error {
	o := &options{url: p.url, insecure: true}
	warm, err := openAll(o, 8, 128)
	if err == nil {
		_ = warm[0].SetDeadline(time.Now().Add(step))
		err = warm[0].echo(frame(2, make([]byte, 64), true), 64)
		closeAll(warm)
	}
	if err != nil {
		return fmt.Errorf("--also %s: no echo through %s, which is to forward to %s: %w", p.name, p.url, c.backend, err)
	}
	p.start, err = p.awaitRest()
	return err
}

// measurePeerMemory measures the rows about memory for the peers that have a
// process id. A peer is not started again for each row, and many servers keep
// the memory that they once took. So these rows come before all other load,
// only once, with fewer tunnels first. They measure the growth since the start.
func (c *comparison) measurePeerMemory(wanted []row) {
	for _, r := range wanted {
		for i := range c.peers {
			if p := &c.peers[i]; p.pid != 0 && r.aboutMemory() {
				fmt.Fprintf(os.Stderr, "before the rounds: %s, %s\n", r.name, p.name)
				v, err := c.measure(contender{name: p.name, url: p.url, pid: p.pid, start: &p.start}, r, 1)
				if err == nil {
					c.add(r, p.name, v)
				} else { // leave a gap in the table, and go on with the rest
					fmt.Fprintf(os.Stderr, "not measured: %v\n", err)
				}
				_, _ = p.awaitRest() // the next row reports an error
			}
		}
	}
}

// awaitRest waits until a peer is at rest, and returns its use then. A peer
// that was just started, or that still closes the tunnels of a row, is not at
// rest.
func (p *peer) awaitRest() (processUse, error) {
	u, err := processUseOf(p.pid)
	for end := time.Now().Add(step); p.pid != 0 && err == nil && time.Now().Before(end); {
		before := u
		time.Sleep(300 * time.Millisecond)
		u, err = processUseOf(p.pid)
		if u.FDs == before.FDs && u.CPU-before.CPU <= tick {
			break
		}
	}
	return u, err
}
