package wsgate

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// docs/caddy-versions.txt pins the versions of Caddy that were tested. The last
// one is the version in go.mod, and the README names each of them.
func TestTheVersionsOfCaddyThatWereTestedAreNamed(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	versions := strings.Fields(read("docs/caddy-versions.txt"))
	if len(versions) == 0 || !slices.IsSortedFunc(versions, strings.Compare) {
		t.Fatalf("want versions in their order: %v", versions)
	}
	last := versions[len(versions)-1]
	if !strings.Contains(read("go.mod"), "github.com/caddyserver/caddy/v2 "+last+"\n") {
		t.Errorf("go.mod asks for another Caddy than %s", last)
	}
	readme := read("README.md")
	for _, v := range versions {
		if !strings.Contains(readme, v) {
			t.Errorf("the README does not name %s", v)
		}
	}
}
