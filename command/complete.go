package command

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wsgate/wsgate/internal/wire"
)

// completionLimit is how long a shell waits when somebody presses tab.
const completionLimit = time.Second

var (
	// completeGate completes the names of gates, and describes each gate.
	completeGate = completeFirst(gateNames)
	// completeFlag completes the flags that are set. completeAnyFlag also
	// completes flags that only a rule uses.
	completeFlag    = completeFirst(flagNames)
	completeAnyFlag = completeFirst(wantedFlagNames)
)

// completeFirst completes only the first argument of a command.
func completeFirst(names func(*cobra.Command) []cobra.Completion) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) (fit []cobra.Completion, _ cobra.ShellCompDirective) {
		if len(args) == 0 {
			for _, name := range names(cmd) {
				if strings.HasPrefix(name, begun) {
					fit = append(fit, name)
				}
			}
		}
		return fit, cobra.ShellCompDirectiveNoFileComp
	}
}

func gateNames(cmd *cobra.Command) (names []cobra.Completion) {
	for _, g := range fetch[[]wire.Gate](cmd, "/wsgate/gates") {
		says := fmt.Sprintf("%s, %s", g.State, count(g.Tunnels, "is open", "are open"))
		names = append(names, cobra.CompletionWithDesc(printable(g.Name), says))
	}
	return names
}

func flagNames(cmd *cobra.Command) []cobra.Completion {
	return describeFlags(fetch[map[string]wire.Flag](cmd, "/wsgate/flags"))
}

func wantedFlagNames(cmd *cobra.Command) []cobra.Completion {
	type both struct {
		flags map[string]wire.Flag
		gates []wire.Gate
	}
	known := withTimeout(completionLimit, func() (b both) {
		b.flags = fetch[map[string]wire.Flag](cmd, "/wsgate/flags")
		b.gates = fetch[[]wire.Gate](cmd, "/wsgate/gates")
		return b
	})
	names := describeFlags(known.flags)
	for _, g := range known.gates {
		for _, r := range g.Rules {
			name, ok := r.Details["name"].(string)
			if _, set := known.flags[name]; ok && r.Rule == "env_flag" && !set {
				names = append(names, cobra.CompletionWithDesc(printable(name), "not set; gate "+g.Name+" looks at it"))
			}
		}
	}
	slices.Sort(names)
	return slices.CompactFunc(names, func(a, b cobra.Completion) bool { return nameOf(a) == nameOf(b) })
}

func describeFlags(flags map[string]wire.Flag) (names []cobra.Completion) {
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		names = append(names, cobra.CompletionWithDesc(printable(name), fmt.Sprintf("is %q", flags[name].Value)))
	}
	return names
}

// nameOf returns a completion without its description.
func nameOf(c cobra.Completion) string {
	name, _, _ := strings.Cut(c, "\t")
	return name
}

// fetch asks the admin endpoint for the names to complete. Without an answer in
// time it returns nothing, because a shell shows no errors while it completes.
func fetch[T any](cmd *cobra.Command, path string) (found T) {
	if cmd.Flag("config").Value.String() == "-" {
		return found // "-" would read the terminal
	}
	return withTimeout(completionLimit, func() (found T) {
		c, err := newClient(cmd)
		if err != nil {
			return found
		}
		answer, err := c.call(http.MethodGet, path, nil, completionLimit)
		if err != nil || json.Unmarshal(answer, &found) != nil {
			return *new(T)
		}
		return found
	})
}

// withTimeout returns the result of do, or nothing after the limit. If do still
// runs then, it ends when the process ends, soon after.
func withTimeout[T any](limit time.Duration, do func() T) (result T) {
	done := make(chan T, 1)
	go func() { done <- do() }()
	select {
	case result = <-done:
	case <-time.After(limit):
	}
	return result
}

// completeNothing keeps a shell from offering files for flags that are not
// files.
func completeNothing(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions) // the error is for unknown flags only
	}
}
