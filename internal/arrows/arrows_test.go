// Package arrows holds which room may import which: the arrows point inward.
package arrows

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/wsgate/wsgate"

// rooms lists for each package what it may import of this module, and whether
// it may know Caddy. A package that is not listed may import nothing.
var rooms = map[string]struct {
	may   []string
	caddy bool
	other []string // modules besides the standard library
}{
	"gate":                  {},
	"window":                {},
	"tunnel":                {other: []string{"golang.org/x/sys"}},
	"internal/handshake":    {caddy: true},
	"internal/registry":     {may: []string{"gate", "tunnel"}, caddy: true},
	"matchers":              {may: []string{"gate", "window", "internal/registry", "internal/handshake"}, caddy: true},
	"upstream":              {may: []string{"internal/handshake", "tunnel"}, caddy: true},
	"admin":                 {may: []string{"gate", "tunnel", "internal/registry"}, caddy: true},
	"":                      {may: []string{"gate", "tunnel", "upstream", "matchers", "admin", "internal/registry", "internal/handshake"}, caddy: true},
	"examples/chat/backend": {caddy: true},
	"h2":                    {},
	"cmd/caddy":             {may: []string{"", "examples/chat/backend"}, caddy: true},
	"internal/testcaddy":    {caddy: true},
	"cmd/wsload":            {},
}

type listed struct {
	ImportPath string
	Imports    []string
}

func TestArrowsPointInward(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p listed
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		check(t, strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/"), p.Imports)
	}
}

func check(t *testing.T, room string, imports []string) {
	t.Helper()
	rules, known := rooms[room]
	if !known && len(imports) > 0 {
		t.Errorf("%q is no room of the design: add it to the table, with what it may import", room)
	}
	for _, path := range imports {
		inside, ours := strings.CutPrefix(path, module)
		switch {
		case ours && !slices.Contains(rules.may, strings.TrimPrefix(inside, "/")):
			t.Errorf("%s must not import %s", room, path)
		case ours, !strings.Contains(strings.Split(path, "/")[0], "."): // the standard library
		case rules.caddy:
		case !slices.ContainsFunc(rules.other, func(m string) bool { return strings.HasPrefix(path, m) }):
			t.Errorf("%s must not import %s", room, path)
		}
	}
}
