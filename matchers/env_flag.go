package matchers

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types/ref"
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/registry"
)

func init() {
	caddy.RegisterModule(new(EnvFlag))
}

// EnvFlag matches while flags are set. It looks for a flag in three places: the
// variables of the request (directives `vars` and `map`), the live flags
// (`PUT /wsgate/flags/NAME`), and the environment of the process, as it was when
// the process started. The first place that has the flag decides. A rule of a
// gate has no request, so only the last two count, and it follows a live flag at
// once.
type EnvFlag struct {
	// The flags; all of them must be set. At least one.
	Flags []FlagTest `json:"flags,omitempty"`
}

// FlagTest is a flag with the value that it must have.
type FlagTest struct {
	// The flag's name: letters, digits and `_`, not beginning with a digit.
	Name string `json:"name,omitempty"`

	// The value that the flag must have, exactly. Default: any value except the
	// empty string, `0`, `false`, `off` and `no`.
	Value string `json:"value,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*EnvFlag) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.matchers.env_flag",
		New: func() caddy.Module { return new(EnvFlag) },
	}
}

// Validate refuses an empty list of flags, and invalid names and values.
func (m *EnvFlag) Validate() error {
	if len(m.Flags) == 0 {
		return errors.New("env_flag: no flag: want a name")
	}
	for _, f := range m.Flags {
		if err := registry.ValidFlagName(f.Name); err != nil {
			return fmt.Errorf("env_flag: %w", err)
		}
		if err := registry.ValidFlagValue(f.Value); err != nil {
			return fmt.Errorf("env_flag %s: %w", f.Name, err)
		}
	}
	return nil
}

// Match reports whether all flags are set for the request.
func (m *EnvFlag) Match(r *http.Request) bool {
	for _, f := range m.Flags {
		var value string
		var ok bool
		switch v := caddyhttp.GetVar(r.Context(), f.Name).(type) {
		case nil:
			value, ok = ambient(f.Name)
		case string:
			value, ok = v, true
		default:
			value, ok = fmt.Sprint(v), true
		}
		if !ok || !f.met(value) {
			return false
		}
	}
	return true
}

// MatchWithError is Match; it never fails.
func (m *EnvFlag) MatchWithError(r *http.Request) (bool, error) { return m.Match(r), nil }

// Eval implements gate.Rule. The clock never changes a flag, so next is zero.
func (m *EnvFlag) Eval(time.Time) (holds bool, next time.Time, err error) {
	for _, f := range m.Flags {
		if value, ok := ambient(f.Name); !ok || !f.met(value) {
			return false, time.Time{}, nil
		}
	}
	return true, time.Time{}, nil
}

// Notify implements gate.Notifier: it calls changed when a live flag changes.
func (m *EnvFlag) Notify(changed func()) (stop func()) {
	stops := make([]func(), len(m.Flags))
	for i, f := range m.Flags {
		stops[i] = registry.WatchFlag(f.Name, changed)
	}
	return func() {
		for _, stop := range stops {
			stop()
		}
	}
}

// Describe returns the flags and the source of the first one's value. It leaves
// out values from the process environment, because they may be secrets.
func (m *EnvFlag) Describe(time.Time) map[string]any {
	first := m.Flags[0]
	source := "unset"
	if _, ok := registry.Flag(first.Name); ok {
		source = "live"
	} else if _, ok := os.LookupEnv(first.Name); ok {
		source = "environment"
	}
	d := map[string]any{"name": first.Name, "source": source}
	if first.Value != "" {
		d["want"] = first.Value
	}
	if len(m.Flags) > 1 {
		names := make([]string, len(m.Flags))
		for i, f := range m.Flags {
			names[i] = f.Name
		}
		d["names"] = names
	}
	return d
}

// ambient looks up a flag without a request.
func ambient(name string) (string, bool) {
	if value, ok := registry.Flag(name); ok {
		return value, true
	}
	return os.LookupEnv(name)
}

// met reports whether a value is the wanted one.
func (f FlagTest) met(value string) bool {
	if f.Value != "" {
		return value == f.Value
	}
	for _, no := range [...]string{"", "0", "false", "off", "no"} {
		if strings.EqualFold(value, no) {
			return false
		}
	}
	return true
}

// UnmarshalCaddyfile reads
//
//	env_flag <NAME> [<value>]
//
// If there are several lines, all of them must hold.
func (m *EnvFlag) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	for d.Next() {
		args := d.RemainingArgs()
		if len(args) == 0 {
			return d.Err("env_flag: want a name, and the value it must have if it must have one")
		}
		if right := FlagMeant(args); right != "" {
			return d.Errf("env_flag %s: want env_flag %s", strings.Join(args, " "), right)
		}
		if rest, found := strings.CutPrefix(args[0], "!"); found {
			return d.Errf("env_flag %s: want not env_flag %s", strings.Join(args, " "), strings.Join(append([]string{rest}, args[1:]...), " "))
		}
		if len(args) > 2 {
			return d.Errf("env_flag %s: want one value at most, got %q", args[0], strings.Join(args[1:], " "))
		}
		f := FlagTest{Name: args[0]}
		if len(args) == 2 {
			if f.Value = args[1]; f.Value == "" {
				return d.Errf("env_flag %s: an empty value means unset: want another, or `not env_flag %s`", f.Name, f.Name)
			}
		}
		if d.NextBlock(d.Nesting()) {
			return d.Errf("env_flag %s: takes no block", f.Name)
		}
		m.Flags = append(m.Flags, f)
		if err := m.Validate(); err != nil {
			return d.WrapErr(err)
		}
	}
	return nil
}

// FlagMeant returns the right name, and perhaps a value, for words in another
// notation: X=1, $X, {env.X}, X-Y. It is empty if the words are right or have
// no clear meaning.
func FlagMeant(words []string) string {
	if slices.Contains(words, "") {
		return ""
	}
	text := strings.Join(words, " ")
	found := flagWords.FindStringSubmatch(text)
	if found == nil {
		return ""
	}
	right := strings.TrimSpace(strings.ReplaceAll(found[1]+found[2], "-", "_") + " " + found[3])
	if right == text {
		return ""
	}
	return right
}

// flagWords matches a flag's name and value with the marks that people write
// around them.
var flagWords = regexp.MustCompile(`^(?:\$|\{\$?(?:env\.)?|%\{ENV:|env\.)?([A-Za-z_])([A-Za-z0-9_-]*)\}?(?: ?={1,2} ?| )?"?([^\s"=]*)"?$`)

// CELLibrary adds the functions env_flag("NAME") and env_flag("NAME", "value")
// to expressions.
func (*EnvFlag) CELLibrary(caddy.Context) (cel.Library, error) {
	return caddyhttp.CELMatcherImpl("env_flag", "env_flag_request_list",
		[]*cel.Type{cel.ListType(cel.StringType)},
		func(data ref.Val) (caddyhttp.RequestMatcherWithError, error) {
			words, err := stringList(data)
			if err != nil {
				return nil, err
			}
			m := new(EnvFlag)
			return m, m.UnmarshalCaddyfile(words.dispenser("env_flag"))
		})
}

// Interface guards
var (
	_ caddy.Validator                   = (*EnvFlag)(nil)
	_ caddyfile.Unmarshaler             = (*EnvFlag)(nil)
	_ caddyhttp.RequestMatcherWithError = (*EnvFlag)(nil)
	_ caddyhttp.CELLibraryProducer      = (*EnvFlag)(nil)
	_ gate.Rule                         = (*EnvFlag)(nil)
	_ gate.Notifier                     = (*EnvFlag)(nil)
	_ gate.Describer                    = (*EnvFlag)(nil)
)
