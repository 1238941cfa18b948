package wsgate

import (
	"encoding/pem"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/wsgate/wsgate/cmd/demo/backend" // chat_backend
)

// exampleFiles lists every Caddyfile under examples.
func exampleFiles(t *testing.T) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir("examples", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "node_modules":
			return filepath.SkipDir
		case !entry.IsDir() && strings.Contains(entry.Name(), "Caddyfile"):
			paths = append(paths, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatal("no Caddyfile under examples")
	}
	return paths
}

// backendCA writes an authority's certificate, which example A4 needs.
func backendCA(t *testing.T) string {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	block := &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}
	path := filepath.Join(t.TempDir(), "backend-ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheExamplesLoad(t *testing.T) {
	t.Setenv("BACKEND_CA", backendCA(t))
	for _, path := range exampleFiles(t) {
		t.Run(path, func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			config, message := adapt(t, string(text)) // which also fails when caddy fmt would change it
			if message != "" {
				t.Fatal(message)
			}
			validate(t, config)
		})
	}
}
