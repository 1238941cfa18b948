package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/spf13/cobra"
)

// defaultConfig is the file that caddy reload reads by default.
const defaultConfig = "Caddyfile"

// findEndpoint finds the admin endpoint where caddy reload finds it: in
// --address, else in the configuration that --config names, else in ./Caddyfile
// if it exists, else in CADDY_ADMIN, else at Caddy's default. Caddy's own
// function logs what it reads, and takes "admin off" for the default.
func findEndpoint(cmd *cobra.Command) (addr string, err error) {
	text := func(name string) string { return cmd.Flag(name).Value.String() }
	if addr = text("address"); addr != "" {
		return addr, nil
	}
	file, adapter := text("config"), text("adapter")
	if file == "" && adapter != "" {
		return "", errors.New("--adapter without --config: want the file that it reads, too")
	}
	config, name, err := readConfig(cmd.InOrStdin(), file)
	if err == nil {
		config, err = adapt(config, name, adapter)
	}
	if err != nil {
		return "", fmt.Errorf("finding the admin endpoint in %s: %w (--address names it without a configuration)", name, err)
	}
	addr, err = listenAddress(config)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return addr, nil
}

// readConfig reads a configuration, and returns a name for it. If file is empty
// it reads ./Caddyfile; without that file, config is empty.
func readConfig(stdin io.Reader, file string) (config []byte, name string, err error) {
	switch file {
	case "-":
		config, err = io.ReadAll(stdin)
		return config, "standard input", err
	case "":
		config, err = os.ReadFile(defaultConfig)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return config, defaultConfig, err
	}
	config, err = os.ReadFile(file)
	return config, file, err
}

// adapt turns a configuration into JSON, as Caddy's commands do. A file named
// Caddyfile… or ….caddyfile is a Caddyfile, unless an adapter is named.
func adapt(config []byte, name, adapter string) ([]byte, error) {
	if base := strings.ToLower(filepath.Base(name)); adapter == "" && filepath.Ext(base) != ".json" &&
		(strings.HasPrefix(base, "caddyfile") || strings.HasSuffix(base, ".caddyfile")) {
		adapter = "caddyfile"
	}
	if adapter == "" || len(config) == 0 {
		return config, nil
	}
	a := caddyconfig.GetAdapter(adapter)
	if a == nil {
		return nil, fmt.Errorf("this Caddy has no config adapter %q", adapter)
	}
	adapted, _, err := a.Adapt(config, map[string]any{"filename": name}) // its warnings are for whoever loads it
	return adapted, err
}

// listenAddress returns the address of the admin endpoint in a configuration.
func listenAddress(config []byte) (string, error) {
	var c struct {
		Admin caddy.AdminConfig `json:"admin"`
	}
	if config = bytes.TrimSpace(config); len(config) > 0 {
		if err := json.Unmarshal(config, &c); err != nil {
			return "", fmt.Errorf("reading the configuration as JSON: %w (--adapter names what else it is)", err)
		}
	}
	if c.Admin.Disabled {
		return "", errors.New("the admin endpoint is off there (admin off): nobody can look at gates or switch them while Caddy runs")
	}
	addr, err := caddy.NewReplacer().ReplaceOrErr(c.Admin.Listen, true, true)
	if err != nil {
		return "", fmt.Errorf("admin address %q: %w (--address names it)", c.Admin.Listen, err)
	}
	if addr == "" {
		return caddy.DefaultAdminListen, nil
	}
	return addr, nil
}
