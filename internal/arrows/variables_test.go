package arrows

import (
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// processWide lists, for each package, the variables of the whole process that
// it may have. Its package page says why it has them, and CONTRIBUTING.md lists
// the packages. A star allows any: the page of the package says what it has.
var processWide = map[string][]string{
	"internal/registry":    {"reg"},
	"internal/events":      {"Default"},
	"internal/handshake":   {"underWay"},
	"upstream":             {"loads", "readers", "writers"},
	"tunnel":               {"smalls", "plains", "buffers"},
	"tunnel/internal/sock": {"*"},
	"internal/testadmin":   {"Addr", "LogFile"},
	"internal/testcaddy":   {"nextPort"},
	"cmd/demo/backend":     {"rooms"},
	"window":               {"zoneText"}, // an embedded file
}

// changes matches a declaration of a variable that is made to be changed.
var changes = regexp.MustCompile(`\b(sync\.(Mutex|RWMutex|Map|Pool|Once\b)|atomic\.|weak\.|new\()`)

// A variable counts as process-wide if it has a lock, an atomic or a pool in
// it, if it is new, or if it has no value. The test cannot see more without the
// types of all packages.
func TestProcessWideVariablesAreFewAndListed(t *testing.T) {
	const root = "../.."
	unused := make(map[string]bool)
	for room, names := range processWide {
		for _, name := range names {
			unused[room+"."+name] = name != "*"
		}
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && (name == "testdata" || name == "node_modules" || name == "tools" || len(name) > 2 && name[0] == '.') {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		room, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		room = filepath.ToSlash(room)
		allowed := processWide[room]
		for _, name := range changeable(t, files, f) {
			delete(unused, room+"."+name)
			if !slices.Contains(allowed, name) && !slices.Contains(allowed, "*") {
				t.Errorf("%s: %s is a variable of the whole process: give it an owner, or say in the package page why it has none, and add it to the list", path, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, missing := range unused {
		if missing {
			t.Errorf("%s is in the list, and not in the repository", name)
		}
	}
}

// changeable returns the variables of a file's package that are made to be
// changed.
func changeable(t *testing.T, files *token.FileSet, f *ast.File) (names []string) {
	t.Helper()
	for _, decl := range f.Decls {
		vars, ok := decl.(*ast.GenDecl)
		if !ok || vars.Tok != token.VAR {
			continue
		}
		for _, spec := range vars.Specs {
			v := spec.(*ast.ValueSpec)
			var text strings.Builder
			if err := format.Node(&text, files, v); err != nil {
				t.Fatal(err)
			}
			if len(v.Values) > 0 && !changes.MatchString(text.String()) {
				continue
			}
			for _, name := range v.Names {
				names = append(names, name.Name)
			}
		}
	}
	return names
}
