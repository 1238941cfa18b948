package e2e

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// around returns a window that is open now, and one that is closed now and
// opens in some hours.
func around(now time.Time) (open, shut string) {
	hour := func(d int) string { return fmt.Sprintf("%02d:00", (now.Hour()+d+24)%24) }
	return hour(-2) + "-" + hour(3), hour(4) + "-" + hour(6)
}

func TestB1WindowOpensAndShuts(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	open, shut := around(time.Now())
	s := recipe(t, "B1", "BACKEND_PORT="+b.port(), "HOURS="+open)
	echoes(t, s.dial("/ws/"), "within the window")

	closed := s.options
	closed.Sites = strings.Replace(closed.Sites, open, shut, 1)
	s.MustLoad(closed)
	resp := s.refused("/ws/", http.StatusServiceUnavailable)
	wait, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || wait < 2*3600 || wait > 5*3600 {
		t.Errorf("Retry-After %q, want the seconds until the window begins", resp.Header.Get("Retry-After"))
	}
	if st := s.Gate("chat"); st["state"] != "closed" || st["cause"] != "rule" || st["until"] == nil {
		t.Errorf("status %v", st)
	}
}

func TestB2ZoneIsShown(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	open, _ := around(time.Now().In(tokyo))
	s := recipe(t, "B2", "BACKEND_PORT="+b.port(), "HOURS="+open, "DAYS=daily", "TZ=America/New_York")
	echoes(t, s.dial("/ws/"), "office hours in Tokyo")
	rules := s.Gate("chat")["rules"].([]any)
	if zone := rules[0].(map[string]any)["zone"]; zone != "Asia/Tokyo" {
		t.Errorf("zone %v in %v", zone, rules)
	}
}

func TestB3EndOfWindowIsAnEvent(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	now := time.Now().UTC()
	end := now.Truncate(time.Minute).Add(time.Minute)
	if end.Sub(now) < 10*time.Second { // leave time to start
		end = end.Add(time.Minute)
	}
	begin := end.Add(-time.Hour)
	s := recipe(t, "B3", "BACKEND_PORT="+b.port(), "HOURS="+begin.Format("15:04")+"-"+end.Format("15:04"))
	c := s.dial("/ws/")
	echoes(t, c, "before the end")
	closedWith(t, c, 1013, "closed for the night", 90*time.Second)
	if late := time.Since(end); late < 0 || late > 5*time.Second {
		t.Errorf("closed %s after the window's end", late)
	}
	s.refused("/ws/", http.StatusServiceUnavailable)
}

func TestB5FlagOfTheProcess(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	on := recipe(t, "B5", "BACKEND_PORT="+b.port(), "ENABLE_WS=1")
	echoes(t, on.dial("/chat"), "enabled")
	off := recipe(t, "B5", "BACKEND_PORT="+b.port(), "ENABLE_WS=0")
	off.refused("/chat", http.StatusNotFound)
}

func TestB6FlagIsLive(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	s := recipe(t, "B6", "BACKEND_PORT="+b.port(), "ENABLE_WS=1")
	c := s.dial("/ws/")
	echoes(t, c, "the environment's value")
	if status, body := s.Call("PUT", "/wsgate/flags/ENABLE_WS", `{"value":"0"}`); status != 200 {
		t.Fatalf("setting the flag: %d %s", status, body)
	}
	closedWith(t, c, 1013, "closed for now", limit)
	s.refused("/ws/", http.StatusServiceUnavailable)

	s.Kill() // what was set is there again
	s.Run(s.options)
	s.refused("/ws/", http.StatusServiceUnavailable)
	if status, body := s.Call("PUT", "/wsgate/flags/ENABLE_WS", `{"value":"1"}`); status != 200 {
		t.Fatalf("setting the flag: %d %s", status, body)
	}
	echoes(t, s.dial("/ws/"), "open again")
}

func TestB7AddressIsTheClients(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	s := recipe(t, "B7", "BACKEND_PORT="+b.port(), "ALLOWED=127.0.0.0/8 ::1")
	echoes(t, s.dial("/"), "allowed")

	lan := s.options
	lan.Sites = strings.Replace(lan.Sites, "127.0.0.0/8 ::1", "192.168.1.0/24", 1)
	s.MustLoad(lan)
	s.refused("/", http.StatusForbidden)
	s.refused("/", http.StatusForbidden, "X-Forwarded-For", "192.168.1.7") // forged

	behind := lan
	behind.Global = "servers {\n\t\ttrusted_proxies static 127.0.0.0/8 ::1\n\t}"
	s.MustLoad(behind)
	echoes(t, s.dial("/", "X-Forwarded-For", "192.168.1.7"), "behind a trusted proxy")
	s.refused("/", http.StatusForbidden, "X-Forwarded-For", "192.168.10.5")
}

func TestB9SwitchSurvivesARestart(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	s := recipe(t, "B9", "BACKEND_PORT="+b.port())
	c := s.dial("/ws/")
	echoes(t, c, "open")
	out, errOut, code := s.CLI("wsgate", "off", "chat", "--reason", "db migration", "--address", s.Admin)
	if code != 0 {
		t.Fatalf("caddy wsgate off: %d\n%s%s", code, out, errOut)
	}
	closedWith(t, c, 1012, "db migration", limit)
	s.refused("/ws/", http.StatusServiceUnavailable)

	s.Stop(exitLimit)
	s.Run(s.options)
	s.refused("/ws/", http.StatusServiceUnavailable)
	if st := s.Gate("chat"); st["reason"] != "db migration" || st["mode"] != "off" {
		t.Errorf("after a restart: %v", st)
	}
	if _, errOut, code := s.CLI("wsgate", "auto", "chat", "--address", s.Admin); code != 0 {
		t.Fatalf("caddy wsgate auto: %s", errOut)
	}
	echoes(t, s.dial("/ws/"), "open again")
}
