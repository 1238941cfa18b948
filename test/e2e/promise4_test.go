package e2e

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"
)

func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// flood is a backend that writes until a write blocks, and keeps the
// connection.
func flood(t *testing.T) *backend {
	t.Helper()
	return rawBackend(t, func(c *rawConn, r *http.Request) {
		c.accept(r)
		big := frame(2, bytes.Repeat([]byte("x"), 64<<10), false)
		for {
			if _, err := c.Write(big); err != nil {
				return
			}
		}
	})
}

func TestPromise4StalledClientsHoldUpNoOperator(t *testing.T) {
	t.Parallel()
	b := flood(t)
	s := chat(t, b, "closing drain 1s")
	for range 20 {
		rawDial(t, s, "/ws/") // never reads
	}
	fast := func(what string, most time.Duration, f func()) {
		t.Helper()
		began := time.Now()
		f()
		if took := time.Since(began); took > most {
			t.Errorf("%s took %s", what, took)
		}
	}
	o := s.options
	o.Sites = strings.Replace(o.Sites, "gate chat", "gate chat\n\t\theader_up X-Changed yes", 1)
	fast("a reload", 5*time.Second, func() { s.MustLoad(o) })
	if n := s.Gate("chat")["tunnels"].(float64); n != 20 {
		t.Errorf("%v tunnels after a reload, want 20", n)
	}
	fast("the switch", 5*time.Second, func() { s.Switch("chat", `{"mode":"off"}`) })
	s.Await("the stalled tunnels to be cut at the deadline", func() bool { return s.Gate("chat")["tunnels"].(float64) == 0 })
}

func TestPromise4SIGTERMEndsInTime(t *testing.T) {
	t.Parallel()
	b := flood(t)
	live := plainBackend(t)
	s := chat(t, b, "")
	o := s.options
	o.Sites = strings.Replace(o.Sites, "}\n}\n", "}\n\twsgate /live/* ws://localhost:"+live.port()+"/ {\n\t\tgate live\n\t}\n}\n", 1)
	s.MustLoad(o)
	for range 10 {
		rawDial(t, s, "/ws/") // never reads
	}
	c := s.dial("/live/")
	echoes(t, c, "alive")
	exits(t, s, c)
}
