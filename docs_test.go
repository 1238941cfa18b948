package wsgate

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	codeBlock    = regexp.MustCompile("(?ms)^```.*?^```$")
	heading      = regexp.MustCompile(`(?m)^#+ (.*)$`)
	noAnchorSign = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	link         = regexp.MustCompile(`\]\(([^)\s]+)\)`)
)

// page returns a page of the manual without its code.
func page(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return codeBlock.ReplaceAllString(string(text), "")
}

// anchors returns the places of a page that a link can point to, with the names
// that GitHub gives them.
func anchors(text string) map[string]bool {
	all := make(map[string]bool)
	for _, found := range heading.FindAllStringSubmatch(text, -1) {
		all[strings.ReplaceAll(noAnchorSign.ReplaceAllString(strings.ToLower(found[1]), ""), " ", "-")] = true
	}
	return all
}

func TestEachLinkOfTheManualLeadsSomewhere(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() && entry.Name() == "node_modules" {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		for _, found := range link.FindAllStringSubmatch(page(t, path), -1) {
			file, place, _ := strings.Cut(found[1], "#")
			if strings.Contains(found[1], "://") {
				continue
			}
			seen++
			target := path
			if file != "" {
				target = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s: %v", path, found[1], err)
			} else if place != "" && !anchors(page(t, target))[place] {
				t.Errorf("%s: %s: no such heading", path, found[1])
			}
		}
		return nil
	})
	if err != nil || seen == 0 {
		t.Fatal(seen, err)
	}
}

func TestTheReferenceShowsEachWordOfTheDirective(t *testing.T) {
	text, err := os.ReadFile("docs/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "## The directive\n\n```\n")
	block, _, _ = strings.Cut(block, "```")
	for _, word := range ownWords {
		if !strings.Contains(block, "\n\t"+word+" ") {
			t.Errorf("%s is missing in\n%s", word, block)
		}
		if !strings.Contains(string(text), "\n| `"+word+" ") {
			t.Errorf("%s has no row", word)
		}
	}
}
