package e2e

import (
	"fmt"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/wsgate/wsgate/internal/testcaddy"
)

func TestPromise2FailedLoadChangesNothing(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	b := plainBackend(t)
	s := chat(t, b, "")
	open := many(s, 20)
	before := s.Gate("chat")

	off := strings.Replace(s.options.Sites, "gate chat", "gate chat\n\t\tmode off\n\t\tclosing drain 1s", 1)
	loads := map[string]string{
		"provision fails":           off + fmt.Sprintf("http://localhost:%d {\n\trespond @nothing 200\n\t@nothing expression `no_such_function()`\n}\n", testcaddy.Port(t)),
		"a listener cannot bind":    off + "http://127.0.0.1:" + portOf(taken.Addr()) + " {\n\tbind 127.0.0.1\n\trespond no\n}\n",
		"the gate is told twice":    off + strings.Replace(off, "mode off", "mode on", 1),
		"the gate is gone, failing": "http://127.0.0.1:" + portOf(taken.Addr()) + " {\n\tbind 127.0.0.1\n\trespond no\n}\n",
	}
	for name, sites := range loads {
		if status, body := s.Load(testcaddy.Options{Sites: sites}); status == http.StatusOK {
			t.Fatalf("%s: was loaded: %s", name, body)
		}
		allEcho(t, open, name)
		after := s.Gate("chat")
		for _, field := range []string{"mode", "state", "cause", "reason", "since", "tunnels", "override"} {
			if !reflect.DeepEqual(before[field], after[field]) {
				t.Errorf("%s: %s was %v, is %v", name, field, before[field], after[field])
			}
		}
		echoes(t, s.dial("/ws/"), "still open")
		before = s.Gate("chat")
	}
}
