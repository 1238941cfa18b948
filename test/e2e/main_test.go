// Package e2e drives whole Caddys with real clients and real backends: the
// Apache recipes of examples/apache, each test named after its id, and the
// promises of the design, each test named after its number.
package e2e

import (
	"testing"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/wsgate/wsgate"
	"github.com/wsgate/wsgate/internal/testcaddy"
)

func TestMain(m *testing.M) { testcaddy.Main(m) }
