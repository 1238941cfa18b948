//go:build unix

package ledger

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// write makes a file below a folder, and the folders in between.
func write(t *testing.T, folder, name, text string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFolderThatIsNoneCannotBeRead(t *testing.T) {
	for name, tt := range map[string]struct {
		make func(t *testing.T, root string)
		want string
	}{
		"a file":          {func(t *testing.T, root string) { write(t, root, "wsgate/words", "x") }, "is not a folder"},
		"a file above it": {func(t *testing.T, root string) { write(t, root, "wsgate", "x") }, "not a directory"},
		"a link to itself": {func(t *testing.T, root string) {
			link(t, filepath.Join(root, "wsgate/words"), filepath.Join(root, "wsgate/words"))
		}, "is not a folder"},
		"a link to a folder, which is not listed": {func(t *testing.T, root string) {
			write(t, root, "elsewhere/a.json", `{"say":"x"}`)
			link(t, filepath.Join(root, "elsewhere"), filepath.Join(root, "wsgate/words"))
		}, "is not a folder"},
		"a loop above it": {func(t *testing.T, root string) {
			link(t, filepath.Join(root, "wsgate"), filepath.Join(root, "wsgate"))
		}, "too many levels"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			tt.make(t, root)
			b := newBoard()
			b.Bind(OnStorage(files(t, root)))
			b.AwaitRead(t.Context())
			if b.Stored("words/a") || !strings.Contains(b.Trouble("words/a"), tt.want) {
				t.Errorf("stored %v, trouble %q", b.Stored("words/a"), b.Trouble("words/a"))
			}
			for end := time.Now().Add(5 * time.Second); len(b.reported()) == 0 && time.Now().Before(end); {
				runtime.Gosched() // it is reported just after the wait for the reading has ended
			}
			if r := b.reported(); len(r) != 1 || !strings.HasPrefix(r[0], "unreadable: ") {
				t.Errorf("reported %q", r)
			}
			b.Bind(OnStorage(files(t, t.TempDir()))) // ends the retries
		})
	}
	if keys, err := OnStorage(files(t, t.TempDir())).List(t.Context(), "words/"); err != nil || len(keys) > 0 {
		t.Errorf("nothing at all: %q, %v", keys, err)
	}
}

func link(t *testing.T, to, at string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
}

func TestFileThatMustNotBeReadWholeIsNotRead(t *testing.T) {
	root := t.TempDir()
	at := func(name string) string { return filepath.Join(root, "wsgate/words", name+".json") }
	write(t, root, "wsgate/words/fine.json", `{"say":"x"}`)
	write(t, root, "wsgate/words/longest.json", strings.Repeat(" ", maxRecord))
	write(t, root, "wsgate/words/long.json", strings.Repeat(" ", maxRecord+1))
	link(t, "/dev/zero", at("zero"))
	link(t, at("fine"), at("link"))
	link(t, at("nothing"), at("dangling"))
	if err := syscall.Mkfifo(at("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(at("folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(write(t, root, "wsgate/words/sparse.json", ""), 1<<40); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	p := OnStorage(files(t, root))
	for name, want := range map[string]string{
		"fine": "", "longest": "", "link": "", "long": "16385 bytes", "sparse": "1099511627776 bytes",
		"zero": "not a regular file", "pipe": "not a regular file", "folder": "not a regular file",
	} {
		_, err := p.Load(ctx, "words/"+name)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	for _, name := range []string{"nothing", "dangling"} {
		if _, err := p.Load(ctx, "words/"+name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWordReplacesAFileThatMustNotBeRead(t *testing.T) {
	root := t.TempDir()
	write(t, root, "wsgate/words/fine.json", `{"say":"x"}`)
	if err := syscall.Mkfifo(filepath.Join(root, "wsgate/words/pipe.json"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBoard()
	b.Bind(OnStorage(files(t, root)))
	b.AwaitRead(t.Context())
	if b.reads("fine") != "x" || !strings.Contains(b.Trouble("words/pipe"), "not a regular file") {
		t.Errorf("%q, trouble %q", b.reads("fine"), b.Trouble("words/pipe"))
	}
	b.say(t, "pipe", "x")
	if !b.AwaitStored(t.Context(), "words/pipe") || b.Trouble("words/pipe") != "" {
		t.Errorf("trouble %q", b.Trouble("words/pipe"))
	}
}
