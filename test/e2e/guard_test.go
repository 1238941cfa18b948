package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// A guard of reverse_proxy also guards wsgate, which has its place in Caddy's
// order. So a site with the one word answers like the same site with the other.
func TestGuardsInFrontOfReverseProxyHoldInFrontOfWsgate(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	guards := map[string]string{
		"an address":             "\t@blocked not remote_ip 10.0.0.0/8\n\trespond @blocked 403\n",
		"an origin":              "\t@foreign not header Origin https://app.example.com\n\trespond @foreign 403\n",
		"an error":               "\t@blocked not remote_ip 10.0.0.0/8\n\terror @blocked 403\n",
		"a handle":               "\t@blocked not remote_ip 10.0.0.0/8\n\thandle @blocked {\n\t\trespond 403\n\t}\n",
		"a guard below the gate": "BELOW\t@blocked not remote_ip 10.0.0.0/8\n\trespond @blocked 403\n",
	}
	site := func(guard, word string) string {
		ours := "\t" + word + " 127.0.0.1:" + b.port() + "\n"
		if below, ok := strings.CutPrefix(guard, "BELOW"); ok {
			return ours + below
		}
		return guard + ours
	}
	for name, guard := range guards {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, word := range []string{"reverse_proxy", "wsgate"} {
				s := sites(t, "", "http://localhost:{$PORT} {\n"+site(guard, word)+"}\n")
				s.refused("/", http.StatusForbidden)
			}
			for version, ask := range askers {
				s := secure(t, b, "")
				o := s.options
				at := strings.Index(o.Sites, "\twsgate")
				o.Sites = o.Sites[:at] + site(guard, "wsgate") + "}\n"
				s.MustLoad(o)
				resp, w := ask(t, s)
				_ = w.Close()
				if resp.StatusCode != http.StatusForbidden {
					t.Errorf("%s: answered %s", version, resp.Status)
				}
			}
		})
	}
	t.Run("abort", func(t *testing.T) {
		t.Parallel()
		s := sites(t, "", "http://localhost:{$PORT} {\n\t@blocked not remote_ip 10.0.0.0/8\n\tabort @blocked\n\twsgate 127.0.0.1:"+b.port()+"\n}\n")
		if _, resp, err := s.try("/"); err == nil || resp != nil {
			t.Errorf("answered %v, %v", resp, err)
		}
	})
	if n := b.tunnels(); n > 0 {
		t.Errorf("%d handshakes passed a guard", n)
	}
}
