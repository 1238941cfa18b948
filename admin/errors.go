package admin

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/wsgate/wsgate/internal/registry"
	"github.com/wsgate/wsgate/internal/wire"
)

// mostNames is how many known names an error lists.
const mostNames = 10

// calls is the list of calls for the answer to an unknown path.
const calls = "GET /wsgate/gates, GET and POST /wsgate/gates/{name}, GET /wsgate/flags, GET, PUT and DELETE /wsgate/flags/{name}"

// noSuchCall answers every other path below /wsgate.
func noSuchCall(_ http.ResponseWriter, r *http.Request) error {
	return refuse(http.StatusNotFound, "no such call: %s; there is %s", wire.Clip(r.URL.Path), calls)
}

// refuse returns an error that Caddy writes as {"error": "…"}.
func refuse(status int, format string, args ...any) error {
	return caddy.APIError{HTTPStatus: status, Message: fmt.Sprintf(format, args...)}
}

// explain turns an error of the registry into Caddy's error with the right
// status.
func explain(err error) error {
	var (
		invalid *registry.InvalidError
		noGate  *registry.UnknownGateError
		noFlag  *registry.UnknownFlagError
	)
	switch {
	case errors.As(err, &invalid):
		return refuse(http.StatusBadRequest, "%s", invalid)
	case errors.As(err, &noGate):
		return refuse(http.StatusNotFound, "unknown gate %s: %s", wire.Clip(noGate.Name), listNames(noGate.Known, "no gate is configured"))
	case errors.As(err, &noFlag) && errors.Is(err, registry.ErrPrecondition):
		return refuse(http.StatusPreconditionFailed, "If-Match: flag %s is not set, so it has no ETag: leave If-Match out", wire.Clip(noFlag.Name))
	case errors.As(err, &noFlag):
		names := slices.Sorted(maps.Keys(registry.Flags()))
		return refuse(http.StatusNotFound, "flag %s is not set: %s", wire.Clip(noFlag.Name), listNames(names, "no flag is"))
	case errors.Is(err, registry.ErrPrecondition):
		return refuse(http.StatusPreconditionFailed, "If-Match: %s: GET it again, and send the ETag of that answer", err)
	}
	return err
}

// listNames lists some of the names that would have been right.
func listNames(names []string, none string) string {
	switch n := len(names); {
	case n == 0:
		return none
	case n > mostNames:
		return fmt.Sprintf("there is %s and %d more", strings.Join(names[:mostNames], ", "), n-mostNames)
	}
	return "there is " + strings.Join(names, ", ")
}
