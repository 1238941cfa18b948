// Package arrows checks two rules of the whole repository: which room may import
// which (the arrows point inward), and which may have variables of the whole
// process.
package arrows

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
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
	"tunnel":                {may: []string{"tunnel/internal/sock"}, other: []string{"golang.org/x/sys"}},
	"tunnel/internal/sock":  {other: []string{"golang.org/x/sys"}},
	"tunnel/internal/alone": {},
	"internal/handshake":    {caddy: true},
	"internal/nearest":      {other: []string{"github.com/agnivade/levenshtein"}},
	"internal/ledger":       {},
	"internal/events":       {},
	"internal/registry":     {may: []string{"gate", "tunnel", "internal/ledger", "internal/events"}, caddy: true},
	"internal/words":        {may: []string{"gate"}, caddy: true},
	"policy":                {may: []string{"gate", "tunnel", "matchers", "internal/registry", "internal/nearest", "internal/words"}, caddy: true},
	"matchers":              {may: []string{"gate", "window", "internal/registry", "internal/handshake", "internal/nearest"}, caddy: true},
	"upstream":              {may: []string{"gate", "internal/handshake", "internal/words", "tunnel"}, caddy: true},
	"internal/swallow":      {caddy: true},
	"internal/wire":         {may: []string{"gate", "internal/registry"}},
	"admin":                 {may: []string{"gate", "internal/registry", "internal/wire"}, caddy: true},
	"command":               {may: []string{"gate", "internal/registry", "internal/wire"}, caddy: true},
	"internal/testadmin":    {may: []string{"gate", "internal/registry"}, caddy: true},
	"":                      {may: []string{"gate", "tunnel", "policy", "upstream", "matchers", "internal/words", "internal/swallow", "admin", "command", "internal/registry", "internal/events", "internal/handshake", "internal/nearest"}, caddy: true},
	"cmd/demo/backend":      {caddy: true},
	"h2":                    {},
	"cmd/caddy":             {may: []string{""}, caddy: true},
	"cmd/demo":              {may: []string{"", "cmd/demo/backend"}, caddy: true},
	"internal/testcaddy":    {caddy: true},
	"cmd/wsload":            {other: []string{"golang.org/x/sys"}},
}

// The files are read here and not by the go command: of what another process
// reads the test cache knows nothing, and would repeat an old answer.
func TestArrowsPointInward(t *testing.T) {
	const root = "../.."
	found := make(map[string]bool)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if name == "testdata" || name == "node_modules" || name == "tools" || len(name) > 2 && name[0] == '.' {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		room, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		room = strings.TrimPrefix(filepath.ToSlash(room), ".")
		found[room] = true
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			check(t, room, imported)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for room := range rooms {
		if !found[room] {
			t.Errorf("%q is in the table, and not in the repository", room)
		}
	}
}

func check(t *testing.T, room, imported string) {
	t.Helper()
	rules, known := rooms[room]
	inside, ours := strings.CutPrefix(imported, module)
	switch {
	case !known:
		t.Errorf("%q is no room of the design: add it to the table, with what it may import", room)
	case ours && !slices.Contains(rules.may, strings.TrimPrefix(inside, "/")):
		t.Errorf("%s must not import %s", room, imported)
	case ours, !strings.Contains(strings.Split(imported, "/")[0], "."): // the standard library
	case rules.caddy:
	case !slices.ContainsFunc(rules.other, func(m string) bool { return strings.HasPrefix(imported, m) }):
		t.Errorf("%s must not import %s", room, imported)
	}
}
