package command

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wsgate/wsgate/internal/registry"
	"github.com/wsgate/wsgate/internal/wire"
)

func flagsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "flags [list | get <name> | set <name> <value> | unset <name>]",
		Short: "Shows and sets the live flags behind env_flag",
		Long: `
Shows and sets the live flags that env_flag looks at before it looks at the
process environment. A change is in force at once, and stored.
`,
		Example: `  $ caddy wsgate flags
  $ caddy wsgate flags set ENABLE_WS 1
  $ caddy wsgate flags get ENABLE_WS
  $ caddy wsgate flags unset ENABLE_WS`,
	}
	cmd.AddCommand(
		flagCommand("list", "Shows every live flag", (*client).listFlags, cobra.NoFileCompletions),
		flagCommand("get", "Prints the value of a live flag", (*client).getFlag, completeFlag, "name"),
		flagCommand("set", "Sets a live flag", (*client).setFlag, completeAnyFlag, "name", "value"),
		flagCommand("unset", "Removes a live flag; env_flag sees the process environment again", (*client).unsetFlag, completeFlag, "name"),
	)
	helpOnly(cmd, "verb")
	cmd.RunE = run((*client).listFlags)
	return cmd
}

func flagCommand(verb, short string, do func(*client, []string) error, complete cobra.CompletionFunc, args ...string) *cobra.Command {
	return &cobra.Command{Use: usage(verb, args), Short: short, Args: exactArgs(args...), RunE: run(do), ValidArgsFunction: complete}
}

// run returns a function that runs a command with its client.
func run(do func(*client, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := newClient(cmd)
		if err != nil {
			return err
		}
		return do(c, args)
	}
}

func (c *client) listFlags([]string) error {
	var all map[string]wire.Flag
	if done, err := c.ask(http.MethodGet, "/wsgate/flags", nil, &all); done || err != nil {
		return err
	}
	if len(all) == 0 {
		fmt.Fprintln(c.cmd.OutOrStdout(), "no live flag is set")
		return nil
	}
	t := tabwriter.NewWriter(c.cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "FLAG\tVALUE")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(t, "%s\t%s\n", printable(name), strconv.Quote(all[name].Value))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		c.warnNotStored(name, all[name].Stored)
	}
	return nil
}

func (c *client) getFlag(args []string) error {
	path, err := flagPath(args[0])
	if err != nil {
		return err
	}
	var f wire.Flag
	if done, err := c.ask(http.MethodGet, path, nil, &f); done || err != nil {
		return err
	}
	fmt.Fprintln(c.cmd.OutOrStdout(), f.Value)
	return nil
}

func (c *client) setFlag(args []string) error {
	name := args[0]
	path, err := flagPath(name)
	if err != nil {
		return err
	}
	var f wire.Flag
	done, err := c.ask(http.MethodPut, path, wire.Flag{Value: args[1]}, &f)
	if err != nil {
		return err
	}
	if !done {
		fmt.Fprintf(c.cmd.OutOrStdout(), "%s is %s now\n", name, strconv.Quote(f.Value))
	}
	c.warnNotStored(name, f.Stored)
	return nil
}

func (c *client) unsetFlag(args []string) error {
	name := args[0]
	path, err := flagPath(name)
	if err != nil {
		return err
	}
	var f wire.Flag
	done, err := c.ask(http.MethodDelete, path, nil, &f)
	if err != nil {
		return err
	}
	if !done {
		fmt.Fprintf(c.cmd.OutOrStdout(), "%s is not set any more\n", name)
	}
	c.warnNotStored(name, f.Stored)
	return nil
}

func (c *client) warnNotStored(name string, stored *bool) {
	if stored != nil && !*stored {
		c.warn("flag %s is in force, but not stored yet: a restart would forget the change (Caddy keeps trying, its log says why)", printable(name))
	}
}

// flagPath returns the path of a flag. It refuses a name that would lead to
// another path.
func flagPath(name string) (string, error) {
	if err := registry.ValidFlagName(name); err != nil {
		return "", err
	}
	return "/wsgate/flags/" + url.PathEscape(name), nil
}
