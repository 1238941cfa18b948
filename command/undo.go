package command

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wsgate/wsgate/internal/wire"
)

// undoCommand returns the command that undoes a switch. It sets the override
// from before again, if that had another mode and has not ended. Otherwise the
// gate follows its rules again. further are words for the end of the command.
// "": there is nothing to undo.
func undoCommand(g wire.Switched, now time.Time, further ...string) string {
	o := g.Replaced
	left := time.Duration(0)
	if o != nil && !o.Expires.IsZero() {
		left = o.Expires.Sub(now).Truncate(time.Second)
	}
	if o == nil || g.Override != nil && o.Mode == g.Override.Mode || !o.Expires.IsZero() && left <= 0 {
		if g.Override == nil {
			return ""
		}
		return commandLine("auto", g.Name, further)
	}
	var words []string
	if o.Reason != "" {
		words = append(words, "--reason", quote(o.Reason))
	}
	if left > 0 {
		words = append(words, "--ttl", wire.Short(left))
	}
	if c := o.Closing; c != nil && c.Policy == "keep" {
		words = append(words, "--keep")
	} else if c != nil {
		words = append(words, "--drain", quote(c.Deadline))
		if c.Code != 0 {
			words = append(words, "--code", fmt.Sprint(c.Code))
		}
		if c.Reason != "" {
			words = append(words, "--message", quote(c.Reason))
		}
	}
	return commandLine(string(o.Mode), g.Name, append(words, further...))
}

// commandLine returns a command with a gate and its flags. A name that looks like
// a flag comes last, after --.
func commandLine(verb, gate string, flags []string) string {
	words := append([]string{verb, gate}, flags...)
	if strings.HasPrefix(gate, "-") {
		words = append(append([]string{verb}, flags...), "--", gate)
	}
	return strings.Join(words, " ")
}

// endpointWords returns the flags that found the admin endpoint, for a further
// command.
func endpointWords(cmd *cobra.Command) (words []string) {
	for _, name := range []string{"address", "config", "adapter"} {
		if f := cmd.Flag(name); f.Changed {
			words = append(words, "--"+name, quote(f.Value.String()))
		}
	}
	return words
}

// plainWord matches a word that a shell takes as it is. Some shells read a first
// = as the begin of a path.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@%+,-][A-Za-z0-9_./:@%+,=-]*$`)

// quote returns a text as one word for a shell.
func quote(s string) string {
	s = printable(s)
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
