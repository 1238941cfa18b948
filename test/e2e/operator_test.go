package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wsgate/wsgate/internal/testcaddy"
)

// These tests show how the command, the API and the log report a switch.

func TestOffSaysHowManyTunnelsItEnded(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		s := chat(t, plainBackend(t), "closing drain 5s\n\t\t"+words)
		for _, c := range many(s, 2) {
			c.CloseRead(t.Context()) // answers the close frame
		}
		out, errs, code := s.CLI("wsgate", "off", "chat", "--reason", "fire", "--actor", "ana") // by ./Caddyfile, as reload does
		if code != 0 || errs != "" {
			t.Errorf("exit code %d, stderr %q", code, errs)
		}
		want := "chat is closed: override: fire (ana)\n2 tunnels were told to end (1013 fire), 2 are gone\nto take it back: caddy wsgate auto chat\n"
		if out != want {
			t.Errorf("says %q, want %q", out, want)
		}
		drain, _ := s.Gate("chat")["drain"].(map[string]any)
		if fmt.Sprint(drain["told"], drain["gone"], drain["left"]) != "2 2 0" {
			t.Errorf("the API says %v", drain)
		}
		again := s.Switch("chat", `{"mode":"off","actor":"ana"}`)
		if replaced, there := again["replaced"]; !there || replaced != nil || fmt.Sprint(again["drain"]) != fmt.Sprint(drain) {
			t.Errorf("the same word again: %v", again)
		}
		if back := s.Switch("chat", `{"mode":"auto"}`); back["drain"] != nil || back["replaced"].(map[string]any)["reason"] != "fire" {
			t.Errorf("taken back: %v", back)
		}
	})
}

func TestGateThatIsHandedBackIsLoggedWithActorAndFrom(t *testing.T) {
	t.Parallel()
	s := chat(t, plainBackend(t), "")
	s.Switch("chat", `{"mode":"off","actor":"ana"}`)
	s.Switch("chat", `{"mode":"auto","actor":"ben"}`)
	for _, message := range []string{"gate changed", "gate switched"} {
		s.Await(message, func() bool { return len(s.Lines(message)) == 2 })
		for i, actor := range []string{"ana", "ben"} {
			if line := s.Lines(message)[i]; line["actor"] != actor || line["from"] != "127.0.0.1" {
				t.Errorf("%s: %v", message, line)
			}
		}
	}
}

func TestStatusShowsUpstreamsWithTunnelsAndHealthAndWhyHandshakesWereRefused(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	dead := testcaddy.Port(t)
	s := chat(t, b, fmt.Sprintf("to ws://127.0.0.1:%d/\n\t\thealth_uri /health\n\t\thealth_status 426\n\t\thealth_interval 100ms\n\t\tlb_try_duration 5s", dead))
	many(s, 2)
	keyless, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http"+strings.TrimPrefix(s.url, "ws")+"/ws/", nil)
	if err != nil {
		t.Fatal(err)
	}
	keyless.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}}
	resp, err := http.DefaultClient.Do(keyless)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	s.Switch("chat", `{"mode":"off"}`)
	s.refused("/ws/", http.StatusServiceUnavailable)
	s.refused("/ws/", http.StatusServiceUnavailable)

	up, down := upstream(b, ""), fmt.Sprintf("127.0.0.1:%d", dead)
	want := map[string]string{up: "2 true", down: "0 false"}
	s.Await("the health checks", func() bool {
		got := map[string]string{}
		for _, u := range s.Gate("chat")["upstreams"].([]any) {
			u := u.(map[string]any)
			got[u["address"].(string)] = fmt.Sprint(u["tunnels"], u["healthy"])
		}
		return fmt.Sprint(got) == fmt.Sprint(want)
	})
	g := s.Gate("chat")
	if by := fmt.Sprint(g["refused"]); by != "map[closed:2 malformed:1]" || g["totals"].(map[string]any)["refused"] != 3.0 {
		t.Errorf("refused %s, %v", by, g["totals"])
	}
	out, _, _ := s.CLI("wsgate", "status", "chat")
	for _, line := range []string{up + ": 2 tunnels, healthy\n", down + ": 0 tunnels, unhealthy\n", "handshakes  2 accepted, 3 refused (2 closed, 1 malformed)\n"} {
		if !strings.Contains(out, line) {
			t.Errorf("status does not say %q:\n%s", line, out)
		}
	}

	// docs/operations.md says so, and says which figures count tunnels.
	if _, text := s.Call("GET", "/reverse_proxy/upstreams", ""); !strings.Contains(text, `{"address":"`+up+`","num_requests":0,`) {
		t.Errorf("Caddy's own figure counts tunnels now: %s", text)
	}
}

func TestCaddyItselfCompletesTheNamesOfGates(t *testing.T) {
	t.Parallel()
	s := chat(t, plainBackend(t), "")
	out, _, code := s.CLI("__complete", "wsgate", "off", "")
	if code != 0 || !strings.HasPrefix(out, "chat\topen, 0 tunnels are open\n:4\n") {
		t.Errorf("offers %q", out)
	}
}

func TestCommandSaysThatTheAdminEndpointIsOff(t *testing.T) {
	t.Parallel()
	s := chat(t, plainBackend(t), "")
	file := filepath.Join(s.Dir, "Caddyfile")
	if err := os.WriteFile(file, []byte("{\n\tadmin off\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs, code := s.CLI("wsgate", "status")
	if code == 0 || !strings.Contains(errs, "Caddyfile: the admin endpoint is off there (admin off)") || strings.Contains(errs, "using adjacent Caddyfile") {
		t.Errorf("exit code %d, says %s", code, errs)
	}
}
