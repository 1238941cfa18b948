package upstream

import (
	"regexp"
	"strings"
)

// Meant returns the address that one which is refused was surely meant to be.
// It is empty where nothing is sure.
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

// socketLike is a socket file, in other forms than ours.
var socketLike = regexp.MustCompile(`^(?:unix:/{0,2}|unix|tcp/unix/)?(/[^{}]*\.sock(?:et)?)$`)

// schemeLike is a URL with a scheme of ours that is not written as one.
var schemeLike = regexp.MustCompile(`(?i)^(wss?|https?|wws|wwss|websockets?|tcp|tls)(?:[:;][/\\]{0,3}|[/\\]{2,3})([^/\\].*)$`)

// schemes are the schemes that are meant by others.
var schemes = map[string]string{
	"ws": "ws", "wws": "ws", "http": "ws", "websocket": "ws", "tcp": "ws",
	"wss": "wss", "wwss": "wss", "https": "wss", "websockets": "wss", "tls": "wss",
}
