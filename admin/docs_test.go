package admin

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/testadmin"
)

var (
	curlMethod = regexp.MustCompile(`-X (\w+)`)
	curlPath   = regexp.MustCompile(`localhost:2019(\S+)`)
	curlHeader = regexp.MustCompile(`-H '([^']*)'`)
	curlBody   = regexp.MustCompile(`-d '([^']*)'`)
)

// Each curl line of docs/admin-api.md must be a call that works, in the order
// of the page.
func TestEveryCurlOfTheDocsWorks(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{"chat": {}})
	testadmin.Flag(t, "ENABLE_WS")
	b, err := os.ReadFile("../docs/admin-api.md")
	if err != nil {
		t.Fatal(err)
	}
	first := func(r *regexp.Regexp, line string) string {
		if m := r.FindStringSubmatch(line); m != nil {
			return m[1]
		}
		return ""
	}
	calls := 0
	for line := range strings.SplitSeq(strings.ReplaceAll(string(b), "\\\n", ""), "\n") {
		if !strings.HasPrefix(line, "curl ") {
			continue
		}
		calls++
		method, body := first(curlMethod, line), first(curlBody, line)
		if method == "" && body != "" {
			method = http.MethodPost
		}
		var headers []string
		for _, m := range curlHeader.FindAllStringSubmatch(line, -1) {
			headers = append(headers, m[1])
		}
		want := http.StatusOK
		if strings.Contains(line, "If-Match") {
			want = http.StatusPreconditionFailed // an old ETag
		}
		if body != "" && !strings.Contains(line, "Content-Type: application/json") {
			t.Errorf("%s: curl says it is a form", line)
		}
		if a := call(t, method, first(curlPath, line), body, headers...); a.status != want {
			t.Errorf("%s: %d %s", line, a.status, a.body)
		}
	}
	if calls < 10 {
		t.Errorf("only %d calls found", calls)
	}
}
