package wsgate

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/caddyserver/caddy/v2"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/nearest"
	"github.com/wsgate/wsgate/matchers"
)

// policyNames are the words of a policy that stand in a gate of the global
// option, too.
var policyNames = []string{"mode", "open_when", "when_closed", "reason", "closing"}

// otherWords are words that people write, with what says the same here. Of
// those with the same meaning, others are found by their letters.
var otherWords = map[string]string{
	"close_when": "open_when not <rule>", "closed_when": "open_when not <rule>", "not": "open_when not <rule>",
	"time_window": "open_when time_window <hours>", "window": "open_when time_window <hours>", "hours": "open_when time_window <hours>", "schedule": "open_when time_window <hours>",
	"env_flag": "open_when env_flag <NAME>", "flag": "open_when env_flag <NAME>",
	"on": "mode on", "enable": "mode on", "enabled": "mode on", "off": "mode off", "disable": "mode off", "disabled": "mode off", "auto": "mode auto",
	"close": "closing keep, or closing drain <deadline>", "keep": "closing keep", "drain": "closing drain <deadline>", "drain_timeout": "closing drain <deadline>", "grace_period": "closing drain <deadline>",

	"upstream": "to <upstreams...>", "upstreams": "to <upstreams...>", "backend": "to <upstreams...>", "backends": "to <upstreams...>", "server": "to <upstreams...>",
	"proxy_pass": "to <upstreams...>", "proxypass": "to <upstreams...>", "reverse_proxy": "to <upstreams...>",

	"timeout": "idle_timeout <duration>", "read_timeout": "idle_timeout <duration>", "write_timeout": "idle_timeout <duration>",
	"proxy_read_timeout": "idle_timeout <duration>", "proxy_send_timeout": "idle_timeout <duration>", "keepalive_timeout": "idle_timeout <duration>",
	"connect_timeout": "handshake_timeout <duration>", "dial_timeout": "handshake_timeout <duration>", "proxy_connect_timeout": "handshake_timeout <duration>",
	"max_age": "max_lifetime <duration>", "max_duration": "max_lifetime <duration>",

	"path": pathWords, "uri": pathWords, "strip_prefix": pathWords, "strip_path_prefix": pathWords, "upstream_path": pathWords,

	"headers": "header_up <field> <value>", "set_header": "header_up <field> <value>", "request_header": "header_up <field> <value>", "proxy_set_header": "header_up <field> <value>",
	"balance": "lb_policy <name>", "lb_method": "lb_policy <name>", "load_balancing": "lb_policy <name>",
	"health_check": "health_uri <path>", "healthcheck": "health_uri <path>",
	"tls": "wss://, or transport http { tls }",
}

const pathWords = "a matcher and an upstream with a path, as in wsgate /ws/* ws://127.0.0.1:8080/"

// transportWords begin the words that stand in the block of transport http.
var transportWords = []string{"tls_", "dial_", "response_header", "keepalive", "versions", "compression", "max_conns", "local_address", "resolvers"}

// unknownWord refuses a word of a directive's block.
func unknownWord(name string) string {
	text := fmt.Sprintf("unknown word %q in wsgate: ", name)
	if other, known := otherWords[strings.ToLower(name)]; known {
		return text + "want " + other
	}
	if slices.ContainsFunc(transportWords, func(begin string) bool { return strings.HasPrefix(name, begin) }) {
		return text + "want it in the block of transport http { " + name + " … }"
	}
	if hint := nearest.Hint(name, blockWords()); hint != "" {
		return text + hint
	}
	return text + "want " + anyOf(ownWords) + ", or a word of reverse_proxy"
}

// blockWords are all words of a directive's block, those that are refused with
// a reason among them.
func blockWords() []string {
	words := append(slices.Clone(ownWords), "stream_timeout", "stream_close_delay")
	words = append(words, slices.Sorted(maps.Keys(keptWords))...)
	return append(words, slices.Sorted(maps.Keys(refusedWords))...)
}

// unknownInGate refuses a word of a gate in the global option.
func unknownInGate(name, gate string) string {
	text := fmt.Sprintf("unknown word %q in gate %s: ", name, gate)
	if other := otherWords[strings.ToLower(name)]; other != "" && slices.Contains(policyNames, strings.Fields(other)[0]) {
		return text + "want " + other
	}
	if slices.Contains(blockWords(), name) {
		return text + "it belongs to the directive: want it in wsgate … { " + name + " … }"
	}
	if hint := nearest.Hint(name, policyNames); hint != "" {
		return text + hint
	}
	return text + "want " + anyOf(policyNames)
}

// unknownGlobally refuses a word of the global option.
func unknownGlobally(name string) string {
	text := fmt.Sprintf("unknown word %q in the global option wsgate: ", name)
	if slices.Contains(policyNames, name) {
		return text + "it belongs to a gate: want gate <name> { " + name + " … }"
	}
	if hint := nearest.Hint(name, []string{"gate"}); hint != "" {
		return text + hint
	}
	return text + "want gate <name> { … }"
}

// otherRules are words that people write for rules.
var otherRules = map[string]string{
	"env": "env_flag", "flag": "env_flag", "environment": "env_flag", "live_flag": "env_flag",
	"time": "time_window", "window": "time_window", "hours": "time_window", "clock": "time_window", "schedule": "time_window",
}

// ruleMeant says what would be right in place of a rule that is none.
func ruleMeant(name string, not bool, args []string) string {
	words := strings.Join(append([]string{"open_when"}, map[bool][]string{true: {"not"}}[not]...), " ")
	line := strings.Join(append([]string{name}, args...), " ")
	for _, sign := range []string{"!", "not_", "not-"} {
		if rule, found := strings.CutPrefix(name, sign); found && rule != "" {
			return "want " + strings.TrimSuffix("open_when not "+strings.Join(append([]string{rule}, args...), " "), " ")
		}
	}
	if rule, known := otherRules[strings.ToLower(name)]; known {
		return "unknown rule: want " + strings.Join(append([]string{words, rule}, args...), " ")
	}
	if name != "" && name[0] >= '0' && name[0] <= '9' && strings.ContainsAny(name, ":-") {
		return "want " + words + " time_window " + line
	}
	if hint := nearest.Hint(name, ruleNames()); hint != "" {
		return "unknown rule: " + hint
	}
	if right := matchers.FlagMeant(append([]string{name}, args...)); right != "" {
		return "want " + words + " env_flag " + right
	}
	if flagLike.MatchString(name) {
		return "want " + words + " env_flag " + line
	}
	return "unknown rule: want " + anyOf(ruleNames())
}

// flagLike is the name of a flag, as they mostly look.
var flagLike = regexp.MustCompile(`^[A-Z][A-Z0-9_]+$`)

// otherModes are words that people write for modes.
var otherModes = map[string]string{
	"open": "on", "opened": "on", "enabled": "on", "enable": "on", "true": "on", "yes": "on", "1": "on", "up": "on",
	"closed": "off", "close": "off", "shut": "off", "disabled": "off", "disable": "off", "false": "off", "no": "off", "0": "off", "down": "off",
	"automatic": "auto", "rules": "auto", "default": "auto",
}

// modeMeant says what would be right in place of a mode that is none.
func modeMeant(word string) string {
	if mode, known := otherModes[strings.ToLower(word)]; known {
		return "want " + mode
	}
	if near := nearest.To(word, []string{"auto", "on", "off"}); len(near) == 1 {
		return "did you mean " + near[0] + "?"
	}
	return "want auto, on or off"
}

// closingMeant says what would be right in place of a closing that is none.
func closingMeant(word string) string {
	if _, err := caddy.ParseDuration(word); err == nil {
		return "want drain " + word
	}
	if right := durationMeant(word); right != "" {
		return "want drain " + right
	}
	return nearest.Hint(word, []string{"keep", "drain"})
}

// endless are words that people write for no limit.
var endless = map[string]bool{"never": true, "off": true, "no": true, "none": true, "infinite": true, "unlimited": true, "forever": true, "disabled": true, "false": true}

// units are those of durations, as people also write them.
var units = map[string]string{
	"": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s",
	"min": "m", "mins": "m", "minute": "m", "minutes": "m",
	"hr": "h", "hrs": "h", "hour": "h", "hours": "h", "std": "h", "day": "d", "days": "d",
	"msec": "ms", "millis": "ms", "milliseconds": "ms",
}

var durationLike = regexp.MustCompile(`^(\d+(?:\.\d+)?)([a-z]*)$`)

// durationMeant returns the duration that a word is meant to be, or nothing.
func durationMeant(word string) string {
	found := durationLike.FindStringSubmatch(strings.ToLower(word))
	if found == nil {
		return ""
	}
	if _, err := caddy.ParseDuration(strings.ToLower(word)); err == nil && word != strings.ToLower(word) {
		return strings.ToLower(word)
	}
	unit, known := units[found[2]]
	if !known {
		return ""
	}
	return found[1] + unit
}

// nameMeant offers a name without what names cannot have.
func nameMeant(name string) string {
	right := strings.Trim(notInNames.ReplaceAllString(name, "-"), "-.")
	if !gate.ValidName(right) || strings.ContainsFunc(name, func(r rune) bool { return r > unicode.MaxASCII }) {
		return ""
	}
	return fmt.Sprintf(", such as %q", right)
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// meantOtherwise says what would be right where something that is no upstream
// stands in the place of one.
func (p *directive) meantOtherwise(text string) string {
	switch {
	case text == "*", strings.HasPrefix(text, "@"), strings.HasPrefix(text, "/") && strings.HasSuffix(text, "*"):
		return "a matcher stands in front of the upstreams: want wsgate " + text + " ws://…"
	case strings.HasSuffix(text, "*") && !strings.Contains(text, "://"):
		return "a path matcher begins with a slash, and stands in front of the upstreams: want wsgate /" + strings.TrimLeft(text, "*/") + " ws://…"
	case strings.HasSuffix(text, "*"):
		return "the pattern belongs to the matcher: want " + strings.TrimRight(text, "*")
	case strings.HasPrefix(text, "/") && len(p.upstreams) > 0 && !strings.Contains(text, ".sock"):
		return "a matcher stands in front of the upstreams, and a path right behind its address, without a space"
	case text == "->", text == "=>", text == "=", text == "to" || slices.Contains(blockWords(), text):
		return "no host: want " + blockOf(text)
	case text != "" && strings.Trim(text, "0123456789") == "":
		return "a port alone: want localhost:" + text
	}
	return ""
}

// blockOf says where a word of the block stands.
func blockOf(word string) string {
	if !gate.ValidName(word) {
		return "the upstreams right behind the matcher"
	}
	return fmt.Sprintf("it in the block, { %s … }, or %s:80 if it is a host", word, word)
}
