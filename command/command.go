package command

import (
	"fmt"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:      "wsgate",
		Usage:     "<verb> [--address <interface>] [--config <path> [--adapter <name>]] [--json]",
		Short:     "Shows and switches the WebSocket gates of a running Caddy",
		Long:      cliLong,
		CobraFunc: configure,
	})
}

const cliLong = `
Shows the WebSocket gates of a running Caddy and switches them, without a
reload. It speaks to the admin endpoint: the one named by --address, else the
one in the configuration named by --config, else in ./Caddyfile, else
CADDY_ADMIN, else Caddy's default.

A switch is in force at once, is stored, and stays until the gate is switched
again, handed back to its rules with 'auto', or until its --ttl has passed.
'disable' and 'enable' are other words for 'off' and 'on'.

A gate's name or a flag's value that begins with a dash comes after --, with all
other words before it: caddy wsgate off --ttl 30m -- -name
`

const cliExamples = `  $ caddy wsgate status
  $ caddy wsgate off chat --reason "db migration" --ttl 30m
  $ caddy wsgate off chat --drain 60s --code 1012 --message "back at nine"
  $ caddy wsgate on chat
  $ caddy wsgate auto chat
  $ caddy wsgate flags
  $ caddy wsgate flags set ENABLE_WS 1`

// configure sets up cmd as the command `caddy wsgate`.
func configure(cmd *cobra.Command) {
	cmd.Example = cliExamples
	f := cmd.PersistentFlags()
	f.String("address", "", "Address of the administration listener, if different from config")
	f.StringP("config", "c", "", "Configuration file to use to parse the admin address, if --address is not used")
	f.StringP("adapter", "a", "", "Name of config adapter to apply")
	f.Bool("json", false, "Print the answer of the admin endpoint, which is JSON")
	completeNothing(cmd, "address", "adapter")
	helpOnly(cmd, "verb")
	cmd.AddCommand(statusCommand(), switchCommand("on"), switchCommand("off"), switchCommand("auto"), flagsCommand())
}

// helpOnly makes a command without a verb print its help, and refuse an unknown
// verb. cobra would print the help and report success.
func helpOnly(cmd *cobra.Command, what string) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return fmt.Errorf("unknown %s %q: want %s", what, args[0], verbs(cmd))
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.DisableFlagsInUseLine = true // the usage lists them
}

// verbs returns the names of a command's subcommands: "a, b or c".
func verbs(cmd *cobra.Command) string {
	var names []string
	for _, c := range cmd.Commands() {
		if c.Name() != "help" && c.Name() != "completion" {
			names = append(names, c.Name())
		}
	}
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// exactArgs refuses a wrong number of arguments. names are the names of the
// expected arguments.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		usage := usage(cmd.CommandPath(), names)
		if len(args) < len(names) {
			return fmt.Errorf("missing <%s>: want %s", names[len(args)], usage)
		}
		return fmt.Errorf("surplus argument %q: want %s", args[len(names)], usage)
	}
}

// usage returns a command with its arguments: set <name> <value>.
func usage(command string, args []string) string {
	if len(args) == 0 {
		return command
	}
	return command + " <" + strings.Join(args, "> <") + ">"
}
