package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wsgate/wsgate/internal/testcaddy"
)

func TestClientsReadPublicTextAndOperatorsTheRest(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	from := time.Now().UTC().Add(2 * time.Hour)
	hours := from.Format("15:04") + "-" + from.Add(time.Hour).Format("15:04")
	for name, c := range map[string]struct{ words, says string }{
		"a window and nothing else": {"open_when time_window " + hours + " UTC", "closed until " + from.Format("15:04") + " (UTC)"},
		"words of its own":          {"open_when time_window " + hours + " UTC\n\t\treason \"back at {wsgate.until}\"", "back at " + from.Format("15:04") + " (UTC)"},
		"a flag":                    {"open_when env_flag SECRET_FLAG s3cret", "closed for now"},
		"words that need a time":    {"open_when env_flag SECRET_FLAG s3cret\n\t\treason \"back at {wsgate.until}\"", "closed for now"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := chat(t, b, c.words)
			resp := s.refused("/ws/", http.StatusServiceUnavailable)
			if body, _ := io.ReadAll(resp.Body); string(body) != c.says+"\n" {
				t.Errorf("the client reads %q, want %q", body, c.says)
			}
			rule := strings.SplitN(strings.TrimPrefix(c.words, "open_when "), "\n", 2)[0] + " does not hold"
			if line := s.refusal(); line["reason"] != rule {
				t.Errorf("the log says %q, want %q", line["reason"], rule)
			}
			if reason := s.Gate("chat")["reason"]; reason != rule {
				t.Errorf("the API says %q, want %q", reason, rule)
			}
		})
	}
}

func TestCloseFramesHavePublicText(t *testing.T) {
	t.Parallel()
	s := chat(t, plainBackend(t), "closing drain 5s\n\t\topen_when env_flag SECRET_FLAG\n\t\treason \"closed for the night\"")
	s.Call("PUT", "/wsgate/flags/SECRET_FLAG", `{"value":"1"}`)
	c := s.dial("/ws/")
	s.Call("PUT", "/wsgate/flags/SECRET_FLAG", `{"value":"0"}`)
	closedWith(t, c, 1013, "closed for the night", limit)
}

func TestRetryAfterIsThereWhereverWeSay503(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	down := fmt.Sprint(testcaddy.Port(t))
	for name, text := range map[string]string{
		"a gate that is closed for good": "\twsgate ws://localhost:" + b.port() + " {\n\t\tmode off\n\t}\n",
		"no upstream is available":       "\twsgate ws://localhost:" + down + " {\n\t\tfail_duration 1h\n\t}\n",
		"an error route answers":         "\twsgate ws://localhost:" + b.port() + " {\n\t\tmode off\n\t}\n\thandle_errors {\n\t\trespond \"{http.wsgate.retry_after}\" 503\n\t}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sites(t, "", "http://localhost:{$PORT} {\n"+text+"}\n")
			if strings.HasPrefix(name, "no upstream") {
				s.refused("/", http.StatusBadGateway) // which marks it
			}
			waits := make(map[string]bool)
			for range 20 {
				resp := s.refused("/", http.StatusServiceUnavailable)
				wait := resp.Header.Get("Retry-After")
				if n, err := strconv.Atoi(wait); err != nil || n < 5 || n > 30 {
					t.Fatalf("Retry-After %q, want 5 to 30", wait)
				}
				if body, _ := io.ReadAll(resp.Body); strings.HasPrefix(name, "an error route") && string(body) != wait {
					t.Errorf("the placeholder says %q, Retry-After %q", body, wait)
				}
				waits[wait] = true
			}
			if len(waits) < 2 {
				t.Errorf("20 clients are all told %v: they would come back in step", waits)
			}
		})
	}
}
