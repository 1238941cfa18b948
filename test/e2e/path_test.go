package e2e

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/wsgate/wsgate/internal/testcaddy"
)

// placed runs one gate with a matcher, or none, and a path at the upstream.
func placed(t *testing.T, b *backend, matcher, path, words string) *site {
	t.Helper()
	port := testcaddy.Port(t)
	o := testcaddy.Options{Sites: fmt.Sprintf("http://localhost:%d {\n\twsgate %s ws://%s%s {\n\t\tgate chat\n\t\t%s\n\t}\n}\n",
		port, matcher, upstream(b, words), path, words)}
	return &site{Server: testcaddy.Start(t, o), t: t, options: o, url: fmt.Sprintf("ws://localhost:%d", port)}
}

// reaches expects a handshake to come to the backend under a URI.
func (s *site) reaches(b *backend, uri, want string) {
	s.t.Helper()
	c := rawDial(s.t, s, uri)
	c.echo(uri)
	_ = c.Close()
	if asked := b.asked(); asked[len(asked)-1] != want {
		s.t.Errorf("%s reached the backend as %s, want %s", uri, asked[len(asked)-1], want)
	}
}

// malformed expects handshakes to be answered with 400, and to reach no
// backend.
func (s *site) malformed(b *backend, uris ...string) {
	s.t.Helper()
	before := len(b.asked())
	for _, uri := range uris {
		resp, body := handshakeText(s.t, s, "GET "+uri+" HTTP/1.1\nHost: localhost\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Key: "+
			sampleKey+"\nSec-WebSocket-Version: 13\n\n")
		if resp.StatusCode != http.StatusBadRequest {
			s.t.Errorf("%s: %s %q, want 400", uri, resp.Status, body)
		}
	}
	if asked := b.asked(); len(asked) != before {
		s.t.Errorf("the backend was asked for %v", asked[before:])
	}
	s.Await("the refusals in the log", func() bool { return len(s.Lines("handshake refused")) == len(uris) })
	for _, line := range s.Lines("handshake refused") {
		if line["outcome"] != "malformed" || line["status"] != 400.0 {
			s.t.Errorf("logged %v", line)
		}
	}
}

func TestPlaceholdersStayInTheUpstreamsPath(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		b := plainBackend(t)
		s := placed(t, b, "", "/rooms/{query.room}", words)
		s.reaches(b, "/secret?room=%25", "/rooms/%25?room=%25")
		s.reaches(b, "/x?room=a%3Fb", "/rooms/a%3Fb?room=a%3Fb")
		s.reaches(b, "/x?room=//evil/x", "/rooms/evil/x?room=//evil/x")
		s.malformed(b, "/x?room=..", "/x?room=a/../../secret")

		s = placed(t, b, "", "/app{path}", words)
		s.reaches(b, "/a%2Fb%3Fc/100%25", "/app/a%2Fb%3Fc/100%25")
		s.reaches(b, "/../../secret", "/app/secret")
		s.malformed(b, "/..%2Fsecret", "/%2e%2e%2Fsecret")
	})
}

func TestPrefixIsFoundWhereverTheMatcherFindsIt(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(t *testing.T, words string) {
		b := plainBackend(t)
		s := placed(t, b, "/ws/*", "/base/", words)
		for uri, want := range map[string]string{
			"/ws/room": "/base/room", "/WS/room": "/base/room", "//ws/room?x=1": "/base/room?x=1", "/x/../ws/room": "/base/room",
			"/ws/../ws/a%2Fb": "/base/a%2Fb", "/%2e/ws/%2e%2e/ws/room": "/base/room", "/ws//a//b": "/base/a/b",
		} {
			s.reaches(b, uri, want)
		}
		s.malformed(b, "/ws/..%2Fws/room", "/ws%2F%2e%2e%2Fws/room")
	})
}

func TestPathsThatCannotBeAreRefusedAtLoad(t *testing.T) {
	t.Parallel()
	s := testcaddy.Start(t, testcaddy.Options{})
	for _, words := range []string{`"upstream_path":"/%zz"`, `"upstream_path":"base"`, `"strip_path_prefix":"/ws/","upstream_path":"/{http.request.host}"`} {
		status, text := s.Call(http.MethodPost, "/load", fmt.Sprintf(`{"admin":{"listen":%q,"config":{"persist":false}},"apps":{"http":{"servers":{"s":{"listen":["127.0.0.1:%d"],
			"routes":[{"handle":[{"handler":"wsgate",%s,"proxy":{"upstreams":[{"dial":"127.0.0.1:1"}]}}]}]}}}}}`, s.Admin, testcaddy.Port(t), words))
		if status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", words, status, text)
		}
	}
}

func TestAPathAtTheUpstreamReplacesAPrefixOrLeavesThePathAlone(t *testing.T) {
	t.Parallel()
	b := plainBackend(t)
	up := "ws://localhost:" + b.port()
	for name, c := range map[string]struct{ site, uri, want string }{
		"the root, for a whole site":         {"\twsgate " + up + "/", "/ws/room?x=1", "/ws/room?x=1"},
		"the root, and a prefix":             {"\twsgate /ws/* " + up + "/", "/ws/room", "/room"},
		"the root, and a pattern without /*": {"\twsgate /ws* " + up + "/", "/ws/room", "/ws/room"},
		"the root, and two patterns":         {"\t@ws path /ws /ws/*\n\twsgate @ws " + up + "/", "/ws/room", "/ws/room"},
		"a prefix beside other matchers":     {"\t@ws {\n\t\tpath /ws/*\n\t\theader Connection *Upgrade*\n\t}\n\twsgate @ws " + up + "/base/", "/ws/room", "/base/room"},
		"the root, in a handle_path":         {"\thandle_path /ws/* {\n\t\twsgate " + up + "/\n\t}", "/ws/room", "/room"},
		"the root, in a handle":              {"\thandle /ws/* {\n\t\twsgate " + up + "/\n\t}", "/ws/room", "/ws/room"},
		"no path":                            {"\twsgate /ws/* " + up, "/ws/a%2Fb", "/ws/a%2Fb"},
		"a path, for a whole site":           {"\twsgate " + up + "/socket", "/ws/room?x=1", "/socket?x=1"},
		"an escaped URL in a capture":        {"\t@ws path_regexp ws ^/ws/(.*)$\n\twsgate @ws " + up + "/{re.ws.1}", "/ws/https%3A%2F%2Foffice.example%2Ff/ws", "/https%3A%2F%2Foffice.example%2Ff/ws"},
	} {
		t.Run(name, func(t *testing.T) {
			s := sites(t, "", "http://localhost:{$PORT} {\n"+c.site+"\n}\n")
			s.reaches(b, c.uri, c.want)
		})
	}
}
