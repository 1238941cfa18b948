package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/wire"
)

func statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status [<gate>]",
		Short: "Shows every gate, or all there is to know about one",

		ValidArgsFunction: completeGate,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return exactArgs("gate")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return c.showOne(args[0])
			}
			return c.showAll()
		},
	}
}

func (c *client) showAll() error {
	var all []wire.Gate
	if done, err := c.ask(http.MethodGet, "/wsgate/gates", nil, &all); done || err != nil {
		return err
	}
	if len(all) == 0 {
		fmt.Fprintln(c.cmd.OutOrStdout(), "no gate is configured")
		return nil
	}
	printGates(c.cmd.OutOrStdout(), all, time.Now())
	for _, g := range all {
		c.warnProblems(g)
	}
	return nil
}

func (c *client) showOne(name string) error {
	path, err := gatePath(name)
	if err != nil {
		return err
	}
	var g wire.Gate
	if done, err := c.ask(http.MethodGet, path, nil, &g); done || err != nil {
		return err
	}
	printGate(c.cmd.OutOrStdout(), g, time.Now())
	c.warnProblems(g)
	return nil
}

func (c *client) warnProblems(g wire.Gate) {
	for _, p := range g.Problems {
		c.warn("gate %s: %s", g.Name, printable(p))
	}
}

func (c *client) warn(format string, args ...any) {
	fmt.Fprintf(c.cmd.ErrOrStderr(), "warning: "+format+"\n", args...)
}

// gatePath returns the path of a gate. It refuses a name that would lead to
// another path.
func gatePath(name string) (string, error) {
	if !gate.ValidName(name) {
		return "", fmt.Errorf("gate name %s: want 1 to 64 letters, digits, dots, dashes and underscores", wire.Clip(name))
	}
	return "/wsgate/gates/" + url.PathEscape(name), nil
}

// switchBody is the body of a switch. Fields that are nil or empty are not
// sent.
type switchBody struct {
	Mode    string        `json:"mode"`
	Reason  *string       `json:"reason,omitempty"`
	Actor   string        `json:"actor,omitempty"`
	TTL     *string       `json:"ttl,omitempty"`
	Closing *wire.Closing `json:"closing,omitempty"`
}

func switchCommand(mode string) *cobra.Command {
	cmd := &cobra.Command{
		Use:               mode + " <gate>",
		Args:              exactArgs("gate"),
		RunE:              func(cmd *cobra.Command, args []string) error { return switchGate(cmd, mode, args[0]) },
		ValidArgsFunction: completeGate,
	}
	cmd.Flags().String("reason", "", "Why: clients of a closed gate read it, and those who look at the gate or its log")
	cmd.Flags().String("actor", "", "Who switches (default: the name of the OS user)")
	completeNothing(cmd, "reason", "actor")
	switch mode {
	case "on":
		cmd.Aliases = []string{"enable"}
		cmd.Short = "Opens a gate, whatever its rules say (also: enable)"
		cmd.Long = cmd.Short + ".\n\n" + keepsTheRest
	case "off":
		cmd.Aliases = []string{"disable"}
		cmd.Short = "Closes a gate, whatever its rules say (also: disable)"
		cmd.Long = cmd.Short + ".\n\n" +
			"The gate's closing says what becomes of open tunnels; --keep or --drain says\notherwise for this time.\n\n" + keepsTheRest
		cmd.Flags().Bool("keep", false, "Leave open tunnels alone")
		cmd.Flags().String("drain", "", "Send open tunnels a close frame, and cut those that are left after this time (e.g. 60s)")
		cmd.Flags().Int("code", 0, "Close code of --drain (default 1013)")
		cmd.Flags().String("message", "", "Close reason of --drain (default: --reason)")
		completeNothing(cmd, "drain", "code", "message")
	case "auto":
		cmd.Short = "Hands a gate back to its rules"
		return cmd
	}
	cmd.Flags().String("ttl", "", "Hand back to the rules after this time (e.g. 30m, 1d), or never")
	completeNothing(cmd, "ttl")
	return cmd
}

// keepsTheRest is the part of the help about the values of the switch before.
const keepsTheRest = "If the gate is already switched to this mode, the command changes only what its\nflags name. It keeps the rest: the reason, the end, what becomes of tunnels.\n--reason \"\" removes the reason, and --ttl never removes the end."

func switchGate(cmd *cobra.Command, mode, name string) error {
	path, err := gatePath(name)
	if err != nil {
		return err
	}
	body, err := switchBodyOf(cmd, mode)
	if err != nil {
		return err
	}
	c, err := newClient(cmd)
	if err != nil {
		return err
	}
	var g wire.Switched
	done, err := c.ask(http.MethodPost, path, body, &g)
	if err != nil {
		return err
	}
	if !done {
		c.awaitDrain(path, &g.Gate)
		printSwitched(cmd.OutOrStdout(), g.Gate, time.Now())
		if command := undoCommand(g, time.Now(), endpointWords(cmd)...); command != "" {
			fmt.Fprintf(cmd.OutOrStdout(), "to take it back: caddy wsgate %s\n", command)
		}
	}
	if !g.Stored {
		c.warn("the switch is in force, but not stored yet: a restart would forget it (Caddy keeps trying, its log says why)")
	}
	return nil
}

const (
	// drainWait is how long the command waits for tunnels to end before it
	// prints how many have ended.
	drainWait = 2 * time.Second
	// drainPoll is the time between two requests for the state of the drain.
	drainPoll = 50 * time.Millisecond
)

// awaitDrain waits until the draining tunnels have ended, up to drainWait, so
// that the printed numbers are right.
func (c *client) awaitDrain(path string, g *wire.Gate) {
	end := time.Now().Add(drainWait)
	for g.Drain != nil && g.Drain.Left > 0 {
		time.Sleep(drainPoll)
		left := time.Until(end)
		if left <= 0 {
			return
		}
		answer, err := c.call(http.MethodGet, path, nil, left)
		var now wire.Gate
		if err != nil || json.Unmarshal(answer, &now) != nil {
			return // the last known numbers are printed
		}
		if now.Drain == nil { // the gate is open again
			now.Drain = g.Drain
			now.Drain.Gone, now.Drain.Left = g.Drain.Told, 0
		}
		g.Drain, g.Tunnels = now.Drain, now.Tunnels
	}
}

// switchBodyOf turns flags into the body of a switch.
func switchBodyOf(cmd *cobra.Command, mode string) (switchBody, error) {
	flags := caddycmd.Flags{FlagSet: cmd.Flags()}
	body := switchBody{Mode: mode, Actor: flags.String("actor")}
	if cmd.Flags().Changed("reason") {
		reason := flags.String("reason")
		body.Reason = &reason
	}
	if !cmd.Flags().Changed("actor") {
		body.Actor = osUser()
	}
	if cmd.Flags().Changed("ttl") {
		ttl := flags.String("ttl")
		if ttl != wire.Never {
			var err error
			if ttl, err = timeFlag(cmd, "ttl", "30m, or never"); err != nil {
				return body, err
			}
		}
		body.TTL = &ttl
	}
	if mode != "off" {
		return body, nil
	}
	keep, drain := flags.Bool("keep"), cmd.Flags().Changed("drain")
	switch {
	case keep && drain:
		return body, errors.New("--keep and --drain: want one of them")
	case !drain && (cmd.Flags().Changed("code") || cmd.Flags().Changed("message")):
		return body, errors.New("--code and --message belong to --drain: want --drain 60s, too")
	case keep:
		body.Closing = &wire.Closing{Policy: "keep"}
	case drain:
		deadline, err := timeFlag(cmd, "drain", "60s")
		if err != nil {
			return body, err
		}
		body.Closing = &wire.Closing{Policy: "drain", Deadline: deadline, Reason: flags.String("message")}
		if cmd.Flags().Changed("code") {
			code, err := cmd.Flags().GetInt("code")
			if err != nil || code < 1000 || code > 4999 {
				return body, fmt.Errorf("--code %d: want 1000-1003, 1007-1014 or 3000-4999", code)
			}
			body.Closing.Code = uint16(code)
		}
	}
	return body, nil
}

// timeFlag returns a flag that must be a duration. The endpoint interprets it.
func timeFlag(cmd *cobra.Command, name, example string) (string, error) {
	s, err := cmd.Flags().GetString(name)
	if err == nil {
		_, err = caddy.ParseDuration(s)
	}
	if err != nil {
		return "", fmt.Errorf("--%s %s: want a time such as %s", name, wire.Clip(s), example)
	}
	return s, nil
}

// osUser returns the user at the keyboard, also behind sudo. "": unknown.
func osUser() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}
