package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestRequestBodyLimitsAreNoLimitsOfATunnel(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	limited := func(words string) *site {
		s := secure(t, b, "")
		o := s.options
		o.Sites = strings.Replace(o.Sites, "wsgate /ws/*", "request_body {\n\t\tmax_size 10KB\n\t}\n\twsgate /ws/*", 1)
		o.Global = words
		s.MustLoad(o)
		return s
	}
	for version, dial := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c := dial(t, limited(""))
			for range 10 {
				c.echo(strings.Repeat("0123456789", 500))
			}
		})
	}
	t.Run("without idle timeouts", func(t *testing.T) {
		t.Parallel()
		for version, ask := range askers {
			s := limited("servers {\n\t\ttimeouts {\n\t\t\tread_body_idle -1s\n\t\t}\n\t}")
			resp, w := ask(t, s)
			_ = w.Close()
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != 500 || !strings.Contains(string(body), "request_body") {
				t.Errorf("%s: answered %s %q", version, resp.Status, body)
			}
		}
	})
}

func TestPromise10PlaceholdersOfAnUpstreamStayOutOfTheLog(t *testing.T) {
	t.Parallel()
	const secret = "s3cretvalue"
	broken := rawBackend(t, func(c *rawConn, _ *http.Request) {
		_, _ = io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 1000\r\n\r\nhello")
	})
	for name, directive := range map[string]string{
		"a host that is not there":     "wsgate {http.request.uri.query.host}.invalid:80",
		"an address that is none":      "wsgate {http.request.uri.query.host}",
		"a port that is none":          "wsgate 127.0.0.1:{http.request.uri.query.host}",
		"a dynamic upstream":           "wsgate {\n\t\tdynamic a {http.request.uri.query.host}.invalid 80\n\t}",
		"a server name":                "wsgate 127.0.0.1:" + broken.port() + " {\n\t\ttransport http {\n\t\t\ttls\n\t\t\ttls_server_name {http.request.uri.query.host}\n\t\t}\n\t}",
		"an answer that is broken off": "wsgate 127.0.0.1:" + broken.port() + " {\n\t\tlb_try_duration 1s\n\t}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sites(t, "debug", "http://localhost:{$PORT} {\n\t"+directive+"\n}\n")
			handshakeText(t, s, opening(s, "/?host="+secret+"&token="+secret))
			s.Await("the refusal", func() bool { return len(s.Lines("handshake refused")) == 1 })
			for line := range strings.Lines(s.Log()) {
				if strings.Contains(line, secret) && !strings.Contains(line, `"logger":"http.reverse_proxy.upstreams`) { // Caddy's own
					t.Errorf("the secret is out: %s", line)
				}
			}
			if line := s.refusal(); line["reason"] == "" {
				t.Errorf("logged %v", line)
			} else {
				t.Log(line["outcome"], line["reason"])
			}
		})
	}
}
