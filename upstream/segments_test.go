package upstream

import "testing"

func TestAPartOfThePathReachesTheUpstreamAsItWasSent(t *testing.T) {
	for _, tt := range []struct{ key, sent, want string }{ // want empty: 400
		{"http.request.uri.path.1", "/ws/room", "/up/room"},
		{"http.request.uri.path.1", "/ws/a%3Fb/x", "/up/a%3Fb"},
		{"http.request.uri.path.1", "/ws/a%2Fb", ""},
		{"http.request.uri.path.1", "/ws/a%2fb/c", ""},
		{"http.request.uri.path.file", "/ws/a%2Fb", ""},
		{"http.request.uri.path.file", "/ws/a%20b", "/up/a%20b"},
		{"http.request.uri.path.file.base", "/ws/a%2Fb.c", ""},
		{"http.request.uri.path.dir", "/ws/a%2Fb", ""},
		{"http.request.uri.path.dir", "/ws/a/b", "/up/ws/a/"},
		{"http.request.orig_uri.path.file", "/ws/a%2Fb", ""},
		{"http.request.uri.path", "/ws/a%2Fb", "/up/ws/a%2Fb"},
	} {
		rule, err := newPathRule("", "/up/{"+tt.key+"}")
		if err != nil {
			t.Fatal(err)
		}
		r, repl := asked(tt.sent)
		out, err := rule.apply(r, repl)
		got := ""
		if err == nil {
			got = out.URL.EscapedPath()
		}
		if got != tt.want {
			t.Errorf("{%s} of %s: %q, %v, want %q", tt.key, tt.sent, got, err, tt.want)
		}
	}
}
