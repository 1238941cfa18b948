package admin

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// completionLimit bounds what a shell waits for when somebody presses tab.
const completionLimit = time.Second

// completeGate completes the first argument with the names of the gates, and
// says what they are doing.
func completeGate(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, g := range look[[]gateJSON](cmd, "/wsgate/gates") {
		names = append(names, cobra.CompletionWithDesc(g.Name, fmt.Sprintf("%s, %s", g.State, count(g.Tunnels, "is open", "are open"))))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeFlag completes the first argument with the names of the flags that are
// set.
func completeFlag(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return described(look[map[string]flagJSON](cmd, "/wsgate/flags")), cobra.ShellCompDirectiveNoFileComp
}

// completeAnyFlag completes with the flags that a rule looks at, too: they are
// not set yet.
func completeAnyFlag(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	type both struct {
		flags map[string]flagJSON
		gates []gateJSON
	}
	known := within(completionLimit, func() (b both) {
		b.flags = look[map[string]flagJSON](cmd, "/wsgate/flags")
		b.gates = look[[]gateJSON](cmd, "/wsgate/gates")
		return b
	})
	names := described(known.flags)
	for _, g := range known.gates {
		for _, r := range g.Rules {
			name, ok := r.Details["name"].(string)
			if _, set := known.flags[name]; ok && r.Rule == "env_flag" && !set {
				names = append(names, cobra.CompletionWithDesc(printable(name), "not set; gate "+g.Name+" looks at it"))
			}
		}
	}
	slices.Sort(names)
	return slices.CompactFunc(names, func(a, b cobra.Completion) bool { return word(a) == word(b) }), cobra.ShellCompDirectiveNoFileComp
}

func described(flags map[string]flagJSON) (names []cobra.Completion) {
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		names = append(names, cobra.CompletionWithDesc(printable(name), fmt.Sprintf("is %q", flags[name].Value)))
	}
	return names
}

// word is a completion without its description.
func word(c cobra.Completion) string {
	name, _, _ := strings.Cut(c, "\t")
	return name
}

// look asks the admin endpoint for something to complete with. There is nothing
// where it does not answer in time: a shell that is completing shows no errors.
func look[T any](cmd *cobra.Command, path string) (found T) {
	if cmd.Flag("config").Value.String() == "-" {
		return found // it would be the terminal
	}
	return within(completionLimit, func() (found T) {
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

// within returns what do returns, or nothing after the limit. The process ends
// soon after, and do with it.
func within[T any](limit time.Duration, do func() T) (result T) {
	done := make(chan T, 1)
	go func() { done <- do() }()
	select {
	case result = <-done:
	case <-time.After(limit):
	}
	return result
}

// completeNothing keeps a shell from offering files for what is none.
func completeNothing(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions) // of a flag that there is
	}
}
