package policy

import (
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/wsgate/wsgate/internal/nearest"
	"github.com/wsgate/wsgate/internal/words"
	"github.com/wsgate/wsgate/matchers"
)

// otherRules maps words that people write to the rules that they mean.
var otherRules = map[string]string{
	"env": "env_flag", "flag": "env_flag", "environment": "env_flag", "live_flag": "env_flag",
	"time": "time_window", "window": "time_window", "hours": "time_window", "clock": "time_window", "schedule": "time_window",
}

// ruleMeant says what to write instead of an unknown rule.
func ruleMeant(name string, not bool, args []string) string {
	begin := strings.Join(append([]string{"open_when"}, map[bool][]string{true: {"not"}}[not]...), " ")
	line := strings.Join(append([]string{name}, args...), " ")
	for _, sign := range []string{"!", "not_", "not-"} {
		if rule, found := strings.CutPrefix(name, sign); found && rule != "" {
			return "want " + strings.TrimSuffix("open_when not "+strings.Join(append([]string{rule}, args...), " "), " ")
		}
	}
	if rule, known := otherRules[strings.ToLower(name)]; known {
		return "unknown rule: want " + strings.Join(append([]string{begin, rule}, args...), " ")
	}
	if name != "" && name[0] >= '0' && name[0] <= '9' && strings.ContainsAny(name, ":-") {
		return "want " + begin + " time_window " + line
	}
	if hint := nearest.Hint(name, ruleNames()); hint != "" {
		return "unknown rule: " + hint
	}
	if right := matchers.FlagMeant(append([]string{name}, args...)); right != "" {
		return "want " + begin + " env_flag " + right
	}
	if flagLike.MatchString(name) {
		return "want " + begin + " env_flag " + line
	}
	return "unknown rule: want " + words.AnyOf(ruleNames())
}

// flagLike matches a word that looks like the name of a flag.
var flagLike = regexp.MustCompile(`^[A-Z][A-Z0-9_]+$`)

// otherModes maps words that people write to the modes that they mean.
var otherModes = map[string]string{
	"open": "on", "opened": "on", "enabled": "on", "enable": "on", "true": "on", "yes": "on", "1": "on", "up": "on",
	"closed": "off", "close": "off", "shut": "off", "disabled": "off", "disable": "off", "false": "off", "no": "off", "0": "off", "down": "off",
	"automatic": "auto", "rules": "auto", "default": "auto",
}

// modeMeant says what to write instead of an unknown mode.
func modeMeant(word string) string {
	if mode, known := otherModes[strings.ToLower(word)]; known {
		return "want " + mode
	}
	if near := nearest.To(word, []string{"auto", "on", "off"}); len(near) == 1 {
		return "did you mean " + near[0] + "?"
	}
	return "want auto, on or off"
}

// closingMeant says what to write instead of an unknown closing. Empty: its
// meaning is unknown.
func closingMeant(word string) string {
	if _, err := caddy.ParseDuration(word); err == nil {
		return "want drain " + word
	}
	if right := words.DurationMeant(word); right != "" {
		return "want drain " + right
	}
	return nearest.Hint(word, []string{"keep", "drain"})
}
