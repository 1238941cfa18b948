package wsgate_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

func TestXcaddyFileAgreesWithGoMod(t *testing.T) {
	var builder struct {
		CaddyVersion string `json:"caddy_version"`
		Plugins      []struct {
			Path    string `json:"module_path"`
			Version string `json:"version"`
		} `json:"plugins"`
	}
	file, err := os.ReadFile("xcaddy.json")
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(string(file)))
	d.DisallowUnknownFields()
	if err := d.Decode(&builder); err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if want := "github.com/caddyserver/caddy/v2 " + builder.CaddyVersion; builder.CaddyVersion == "" || !strings.Contains(string(mod), want+"\n") {
		t.Errorf("go.mod does not require %q", want)
	}
	module, _, _ := strings.Cut(strings.TrimPrefix(string(mod), "module "), "\n")
	if len(builder.Plugins) != 1 || builder.Plugins[0].Path != module {
		t.Errorf("plugins %v, want %s alone", builder.Plugins, module)
	}
}
