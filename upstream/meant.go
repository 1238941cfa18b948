package upstream

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/wsgate/wsgate/gate"
)

// Meant returns the right form of a refused address if its meaning is clear. It
// is empty otherwise.
func Meant(s string) string {
	if list := strings.Split(strings.TrimSuffix(s, ","), ","); strings.Contains(s, ",") {
		for _, one := range list {
			if _, err := ParseAddress(one); err != nil || strings.Contains(one, "://") != strings.Contains(s, "://") {
				return ""
			}
		}
		return strings.Join(list, " ") + ", with spaces between them"
	}
	if socket := socketLike.FindStringSubmatch(s); socket != nil {
		return "unix/" + socket[1]
	}
	found := schemeLike.FindStringSubmatch(s)
	if found == nil || strings.Contains(s, ":///") { // a URL whose host is missing
		return ""
	}
	right := schemes[strings.ToLower(found[1])] + "://" + strings.ReplaceAll(found[2], `\`, "/")
	if a, err := ParseAddress(right); err != nil || strings.Trim(a.Dial[:strings.LastIndexByte(a.Dial, ':')], "0123456789") == "" {
		return ""
	}
	return right
}

// socketLike matches a socket file in forms that wsgate does not take.
var socketLike = regexp.MustCompile(`^(?:unix:/{0,2}|unix|tcp/unix/)?(/[^{}]*\.sock(?:et)?)$`)

// schemeLike matches a URL whose scheme or separator is spelled wrongly.
var schemeLike = regexp.MustCompile(`(?i)^(wss?|https?|wws|wwss|websockets?|tcp|tls)(?:[:;][/\\]{0,3}|[/\\]{2,3})([^/\\].*)$`)

// schemes maps the schemes that people write to ws and wss.
var schemes = map[string]string{
	"ws": "ws", "wws": "ws", "http": "ws", "websocket": "ws", "tcp": "ws",
	"wss": "wss", "wwss": "wss", "https": "wss", "websockets": "wss", "tls": "wss",
}

// misplaced says what to write instead of a word that is not an upstream
// but stands in the place of one.
func (p *Words) misplaced(text string) string {
	switch {
	case text == "*", strings.HasPrefix(text, "@"), strings.HasPrefix(text, "/") && strings.HasSuffix(text, "*"):
		return "a matcher stands in front of the upstreams: want wsgate " + text + " ws://…"
	case strings.HasSuffix(text, "*") && !strings.Contains(text, "://"):
		return "a path matcher begins with a slash, and stands in front of the upstreams: want wsgate /" + strings.TrimLeft(text, "*/") + " ws://…"
	case strings.HasSuffix(text, "*"):
		return "the pattern belongs to the matcher: want " + strings.TrimRight(text, "*")
	case strings.HasPrefix(text, "/") && len(p.upstreams) > 0 && !strings.Contains(text, ".sock"):
		return "a matcher stands in front of the upstreams, and a path right behind its address, without a space"
	case text == "->", text == "=>", text == "=", text == "to" || slices.Contains(p.blockWords(), text):
		return "no host: want " + blockOf(text)
	case text != "" && strings.Trim(text, "0123456789") == "":
		return "a port alone: want localhost:" + text
	}
	return ""
}

// blockOf says where to write a word that belongs in the block.
func blockOf(word string) string {
	if !gate.ValidName(word) {
		return "the upstreams right behind the matcher"
	}
	return fmt.Sprintf("it in the block, { %s … }, or %s:80 if it is a host", word, word)
}

// blockWords returns all words of the block.
func (p *Words) blockWords() []string { return append(slices.Clone(p.Others), ProxyWords()...) }
