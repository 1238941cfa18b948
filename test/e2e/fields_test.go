package e2e

import (
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestPromise7HeaderUpSendsNothingThatIsNoField(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		addr, heads := recorder(t)
		b := newBackend(t) // gives its place to the recorder
		_, port, _ := net.SplitHostPort(addr)
		text := strings.ReplaceAll(chatSite(0, b, words+"header_up X-User {query.user}\n\t\theader_up {query.name} yes"), ":"+b.port(), ":"+port)
		s := sites(t, "", strings.Replace(text, "localhost:0 {", "localhost:{$PORT} {", 1))
		for _, query := range []string{"name=X-A&user=a%00b", "name=X-A&user=a%0d%0aX-Admin:%20yes", "name=X-A&user=a%0ab", "name=X%20A&user=ann", "name=X-A%0d%0a&user=ann"} {
			if resp, _ := handshakeText(t, s, opening(s, "/ws/?"+query)); resp.StatusCode != http.StatusBadGateway {
				t.Errorf("%s: answered %s", query, resp.Status)
			}
			select {
			case head := <-heads:
				t.Errorf("%s went upstream: %q", query, head)
			default:
			}
		}
		if resp, _ := handshakeText(t, s, opening(s, "/ws/?name=X-A&user=ann")); resp.StatusCode != http.StatusSwitchingProtocols {
			t.Errorf("good fields: answered %s", resp.Status)
		}
		if head := <-heads; !strings.Contains(head, "X-User: ann") || !strings.Contains(head, "X-A: yes") {
			t.Errorf("good fields went upstream as %q", head)
		}
	})
}
