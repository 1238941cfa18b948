package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// post sends JSON to Caddy's admin endpoint.
func post(o *options, path string, body []byte) error {
	if o.admin == "" {
		return errors.New("--admin is missing")
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+o.admin+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Cache-Control", "must-revalidate") // load it even if it is the same
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("POST %s: %s %s", path, resp.Status, text)
	}
	return nil
}

// drain measures how long a gate takes to end its tunnels with a close frame,
// and how much slower handshakes with another gate are meanwhile.
func drain(o *options) (report, error) {
	all, err := openAll(o, o.tunnels, 256)
	if err != nil {
		return nil, err
	}
	defer closeAll(all)
	body, err := json.Marshal(map[string]any{
		"mode": "off", "reason": "measured",
		"closing": map[string]any{"policy": "drain", "deadline": "10s", "code": 1012, "reason": "measured"},
	})
	if err != nil {
		return nil, err
	}
	before, err := timeHandshakes(o, time.After(o.duration))
	if err != nil {
		return nil, err
	}
	readers := all[o.stalled:]
	var d drainSeen
	done := make(chan time.Time)
	go func() {
		d.watch(readers)
		close(done)
	}()
	began := time.Now()
	if err := post(o, "/wsgate/gates/"+o.gate, body); err != nil {
		return nil, err
	}
	answered := time.Since(began)
	during, err := timeHandshakes(o, done)
	if err != nil {
		return nil, err
	}
	<-done
	found := report{
		{"tunnels that read", float64(len(readers)), ""},
		{"closed with code and reason", float64(d.withReason.Load()), ""},
		{"the switch answered after", answered.Seconds() * 1e3, "ms"},
		{"the last one ended after", time.Unix(0, d.last.Load()).Sub(began).Seconds() * 1e3, "ms"},
	}
	if o.beside != "" {
		found = append(found,
			figure{"handshakes beside it, p99 before", quantile(before, .99).Seconds() * 1e3, "ms"},
			figure{"handshakes beside it, p99 during", quantile(during, .99).Seconds() * 1e3, "ms"},
			figure{"handshakes beside it, during", float64(len(during)), ""})
	}
	return found, post(o, "/wsgate/gates/"+o.gate, []byte(`{"mode":"auto"}`))
}

// drainSeen is what the clients have seen of a drain.
type drainSeen struct {
	withReason atomic.Int64 // tunnels whose close frame had a reason
	last       atomic.Int64 // the end of a tunnel, in Unix nanoseconds
}

// watch answers close frames until all tunnels have ended.
func (d *drainSeen) watch(readers []*conn) {
	var done sync.WaitGroup
	for _, c := range readers {
		done.Go(func() {
			_ = c.SetDeadline(time.Now().Add(step))
			for {
				op, n, err := c.next()
				if err != nil {
					break
				}
				if op == 8 {
					if n > 2 {
						d.withReason.Add(1)
					}
					_, _ = c.Write(frame(8, []byte{0x03, 0xe8}, true))
				}
			}
			d.last.Store(time.Now().UnixNano())
		})
	}
	done.Wait()
}

// timeHandshakes measures handshakes with another gate, one after the other,
// until the channel enough is ready.
func timeHandshakes(o *options, enough <-chan time.Time) (took []time.Duration, err error) {
	if o.beside == "" {
		return nil, nil
	}
	other := *o
	other.url = o.beside
	for {
		select {
		case <-enough:
			return took, nil
		default:
		}
		began := time.Now()
		c, err := dial(&other, "", 512)
		if err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
		_ = c.Close()
	}
}

// reloads measures whether tunnels survive new configurations, and what a load
// costs.
func reloads(o *options) (report, error) {
	config, err := os.ReadFile(o.config)
	if err != nil {
		return nil, err
	}
	all, err := openAll(o, o.tunnels, 256)
	if err != nil {
		return nil, err
	}
	defer closeAll(all)
	echo := frame(2, make([]byte, 64), true)
	before, err := processUseOf(o.pid)
	if err != nil {
		return nil, err
	}
	var took []time.Duration
	rounds := min(o.count, 100)
	for range rounds {
		began := time.Now()
		if err := post(o, "/load", config); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	lost := 0
	for _, c := range all {
		_ = c.SetDeadline(time.Now().Add(step))
		if c.echo(echo, 64) != nil {
			lost++
		}
	}
	time.Sleep(o.duration)
	after, err := processUseOf(o.pid)
	return report{
		{"tunnels lost", float64(lost), fmt.Sprintf("of %d", o.tunnels)},
		{"a load took (median)", quantile(took, .5).Seconds() * 1e3, "ms"},
		{"a load took (longest)", quantile(took, 1).Seconds() * 1e3, "ms"},
		{"descriptors more", float64(after.FDs - before.FDs), ""},
		{"PSS growth", float64(after.PSS-before.PSS) / (1 << 20), "MiB"},
	}, err
}
