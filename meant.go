package wsgate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wsgate/wsgate/internal/nearest"
	"github.com/wsgate/wsgate/internal/words"
	"github.com/wsgate/wsgate/policy"
	"github.com/wsgate/wsgate/upstream"
)

// ownWords are the words of a wsgate block that are not reverse_proxy's.
var ownWords = []string{
	"gate", "name", "id", "mode", "open_when", "when_closed", "reason", "closing",
	"handshake_timeout", "idle_timeout", "half_open_timeout", "max_lifetime", "to",
}

// reservedWords are these words and reverse_proxy's words for the same things.
var reservedWords = append(slices.Clone(ownWords), "stream_timeout", "stream_close_delay")

// otherWords maps words that people write to wsgate's words for the same. A
// word that only looks similar is found by its letters (package nearest).
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

// transportWords are prefixes of the words that belong in the block of
// transport http.
var transportWords = []string{"tls_", "dial_", "response_header", "keepalive", "versions", "compression", "max_conns", "local_address", "resolvers"}

// unknownWord returns the text that refuses a word of a directive's block.
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
	return text + "want " + words.AnyOf(ownWords) + ", or a word of reverse_proxy"
}

// blockWords returns all words of a directive's block, also those that are
// refused with a reason.
func blockWords() []string {
	return append(slices.Clone(reservedWords), upstream.ProxyWords()...)
}

// unknownInGate returns the text that refuses a word of a gate in the global
// option.
func unknownInGate(name, gate string) string {
	text := fmt.Sprintf("unknown word %q in gate %s: ", name, gate)
	if other := otherWords[strings.ToLower(name)]; other != "" && slices.Contains(policy.Names, strings.Fields(other)[0]) {
		return text + "want " + other
	}
	if slices.Contains(blockWords(), name) {
		return text + "it belongs to the directive: want it in wsgate … { " + name + " … }"
	}
	if hint := nearest.Hint(name, policy.Names); hint != "" {
		return text + hint
	}
	return text + "want " + words.AnyOf(policy.Names)
}

// unknownOption returns the text that refuses a word of the global option.
func unknownOption(name string) string {
	text := fmt.Sprintf("unknown word %q in the global option wsgate: ", name)
	if slices.Contains(policy.Names, name) {
		return text + "it belongs to a gate: want gate <name> { " + name + " … }"
	}
	if hint := nearest.Hint(name, []string{"gate"}); hint != "" {
		return text + hint
	}
	return text + "want gate <name> { … }"
}
