package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// openAll opens tunnels, a few at a time.
func openAll(o *options, n, buffer int) ([]*conn, error) {
	all := make([]*conn, n)
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var workers sync.WaitGroup
	for range min(n, 16) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && failed.Load() == nil; i = int(next.Add(1)) - 1 {
				c, err := dial(o, "", buffer)
				if err != nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
				all[i] = c
				progress("opened", i+1, n)
			}
		})
	}
	workers.Wait()
	if err := failed.Load(); err != nil {
		closeAll(all)
		return nil, *err
	}
	return all, nil
}

// progress reports on standard error how far a long run is.
func progress(what string, done, of int) {
	if of >= 1000 && (done%1000 == 0 || done == of) {
		fmt.Fprintf(os.Stderr, "%s %d of %d\n", what, done, of)
	}
}

func closeAll(all []*conn) {
	for _, c := range all {
		if c != nil {
			_ = c.Close()
		}
	}
}

// echoes measures the cost and the time of an echo.
func echoes(o *options) (report, error) {
	all, err := openAll(o, o.tunnels, o.size+16)
	if err != nil {
		return nil, err
	}
	defer closeAll(all)
	for _, c := range all { // warm
		if err := c.echo(frame(2, make([]byte, o.size), true), o.size); err != nil {
			return nil, err
		}
	}
	before, err := processUseOf(o.pid)
	if err != nil {
		return nil, err
	}
	took, lat, err := echoFor(o, all)
	if err != nil {
		return nil, err
	}
	after, err := processUseOf(o.pid)
	n := float64(len(lat))
	return report{
		{"messages", n, ""},
		{"messages a second", n / took.Seconds(), "/s"},
		{"CPU per message", float64((after.CPU - before.CPU).Nanoseconds()) / 1e3 / n, "µs"},
		{"p50", float64(quantile(lat, .5).Nanoseconds()) / 1e3, "µs"},
		{"p99", float64(quantile(lat, .99).Nanoseconds()) / 1e3, "µs"},
	}, err
}

// echoFor sends echoes on all tunnels for a while. It returns how long that
// took, and the time of each echo.
func echoFor(o *options, all []*conn) (time.Duration, []time.Duration, error) {
	var mu sync.Mutex
	var lat []time.Duration
	var first error
	var workers sync.WaitGroup
	began := time.Now()
	end := began.Add(o.duration)
	var pause time.Duration
	if o.rate > 0 {
		pause = time.Duration(len(all)) * time.Second / time.Duration(o.rate)
	}
	for i, c := range all {
		workers.Go(func() {
			mine := make([]time.Duration, 0, 1024)
			f := frame(2, make([]byte, o.size), true)
			var err error
			if pause > 0 { // spread the tunnels over the pause
				time.Sleep(pause * time.Duration(i) / time.Duration(len(all)))
			}
			for at := time.Now(); at.Before(end) && err == nil; {
				err = c.echo(f, o.size)
				now := time.Now()
				mine = append(mine, now.Sub(at))
				if pause > 0 {
					time.Sleep(pause - now.Sub(at))
					now = time.Now()
				}
				at = now
			}
			mu.Lock()
			defer mu.Unlock()
			lat = append(lat, mine...)
			first = errors.Join(first, err)
		})
	}
	workers.Wait()
	return time.Since(began), lat, first
}

// streams measures large messages in one direction, on some tunnels at once.
func streams(o *options) (report, error) {
	path := fmt.Sprintf("/source?size=%d", o.size)
	if !o.down {
		path = "/sink"
	}
	all := make([]*conn, max(1, o.streams))
	defer func() { closeAll(all) }()
	for i := range all {
		c, err := dial(o, path, 64<<10)
		if err != nil {
			return nil, err
		}
		all[i] = c
	}
	before, err := processUseOf(o.pid)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	var moved atomic.Int64
	var each sync.WaitGroup
	for _, c := range all {
		_ = c.SetDeadline(began.Add(o.duration))
		each.Go(func() { moved.Add(stream(c, o)) })
	}
	each.Wait()
	took := time.Since(began)
	after, err := processUseOf(o.pid)
	n := float64(moved.Load())
	return report{
		{"MiB a second", n / (1 << 20) / took.Seconds(), "MiB/s"},
		{"CPU per GiB", (after.CPU - before.CPU).Seconds() / (n / (1 << 30)), "s"},
	}, err
}

// stream moves messages until the connection's deadline, and returns how many
// bytes they had.
func stream(c *conn, o *options) (n int64) {
	if o.down {
		n, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c.Conn}, make([]byte, 1<<20))
		return n
	}
	for f := frame(2, make([]byte, o.size), true); ; {
		m, err := c.Write(f)
		if n += int64(m); err != nil {
			return n
		}
	}
}

// idle measures the memory and the descriptors of an idle tunnel.
func idle(o *options) (report, error) {
	warm, err := openAll(o, 8, 128)
	if err != nil {
		return nil, err
	}
	closeAll(warm)
	before, err := processUseOf(o.pid)
	if err != nil {
		return nil, err
	}
	if o.start != nil {
		before = *o.start
	}
	all, err := openAll(o, o.tunnels, 128)
	if err != nil {
		return nil, err
	}
	defer closeAll(all)
	for _, c := range all {
		if err := c.echo(frame(2, make([]byte, 64), true), 64); err != nil {
			return nil, err
		}
	}
	time.Sleep(o.duration) // until garbage is collected and tunnels are parked
	after, err := processUseOf(o.pid)
	return report{
		{"PSS per tunnel", float64(after.PSS-before.PSS) / 1024 / float64(o.tunnels), "KiB"},
		{"descriptors per tunnel", float64(after.FDs-before.FDs) / float64(o.tunnels), ""},
	}, err
}

// handshakes measures the cost of opening a tunnel.
func handshakes(o *options) (report, error) {
	before, err := processUseOf(o.pid)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	lat, err := handshakeMany(o, o.count, 8)
	took := time.Since(began)
	if err != nil {
		return nil, err
	}
	after, err := processUseOf(o.pid)
	return report{
		{"handshakes a second", float64(o.count) / took.Seconds(), "/s"},
		{"CPU per handshake", float64((after.CPU - before.CPU).Nanoseconds()) / 1e3 / float64(o.count), "µs"},
		{"p99", float64(quantile(lat, .99).Nanoseconds()) / 1e3, "µs"},
	}, err
}

func handshakeMany(o *options, count, workers int) ([]time.Duration, error) {
	var mu sync.Mutex
	var lat []time.Duration
	var first error
	var next atomic.Int64
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for i := next.Add(1); i <= int64(count); i = next.Add(1) {
				progress("handshakes", int(i), count)
				at := time.Now()
				c, err := dial(o, "", 512)
				took := time.Since(at)
				if err == nil {
					err = c.Close()
				}
				mu.Lock()
				lat = append(lat, took)
				first = errors.Join(first, err)
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return lat, first
}

// churn connects and disconnects many times, and measures what is left over.
func churn(o *options) (report, error) {
	if _, err := handshakeMany(o, min(o.count, 200), 8); err != nil {
		return nil, err
	}
	time.Sleep(o.duration)
	before, err := processUseOf(o.pid)
	if err != nil {
		return nil, err
	}
	if _, err := handshakeMany(o, o.count, 8); err != nil {
		return nil, err
	}
	time.Sleep(o.duration)
	after, err := processUseOf(o.pid)
	return report{
		{"connections", float64(o.count), ""},
		{"descriptors left over", float64(after.FDs - before.FDs), ""},
		{"PSS growth", float64(after.PSS-before.PSS) / (1 << 20), "MiB"},
	}, err
}

// fairness measures echoes on quiet tunnels, alone and beside a busy one.
func fairness(o *options) (report, error) {
	all, err := openAll(o, o.tunnels, 128)
	if err != nil {
		return nil, err
	}
	defer closeAll(all)
	quiet := *o
	quiet.size = 64
	if quiet.rate == 0 {
		quiet.rate = 1000
	}
	_, alone, err := echoFor(&quiet, all)
	if err != nil {
		return nil, err
	}
	greedy, err := dial(o, "/source?size=1048576", 64<<10)
	if err != nil {
		return nil, err
	}
	defer greedy.Close()
	go func() { _, _ = io.Copy(io.Discard, greedy.Conn) }()
	_, beside, err := echoFor(&quiet, all)
	return report{
		{"p99 alone", float64(quantile(alone, .99).Nanoseconds()) / 1e3, "µs"},
		{"p99 beside a greedy tunnel", float64(quantile(beside, .99).Nanoseconds()) / 1e3, "µs"},
	}, err
}
