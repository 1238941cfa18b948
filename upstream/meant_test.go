package upstream

import "testing"

func TestAnAddressInAnotherFormIsNamedInOurs(t *testing.T) {
	for s, want := range map[string]string{
		"ws//h":                    "ws://h",
		"ws:h:1":                   "ws://h:1",
		"ws:/h:1/x":                "ws://h:1/x",
		"ws;//h:1":                 "ws://h:1",
		"WS//h:1":                  "ws://h:1",
		"wss:h":                    "wss://h",
		"wss//h:1/{re.ws.1}":       "wss://h:1/{re.ws.1}",
		`ws:\\h:1\x`:               "ws://h:1/x",
		"wws://h:1":                "ws://h:1",
		"websocket://h:1":          "ws://h:1",
		"http://h:1":               "ws://h:1",
		"https://h:1/":             "wss://h:1/",
		"tcp://h:1":                "ws://h:1",
		"tls://h:1":                "wss://h:1",
		"/run/chat.sock":           "unix//run/chat.sock",
		"unix:/run/chat.sock":      "unix//run/chat.sock",
		"unix:///run/chat.sock":    "unix//run/chat.sock",
		"a:80,b:80":                "a:80 b:80, with spaces between them",
		"ws://a:80,ws://b:80":      "ws://a:80 ws://b:80, with spaces between them",
		"a:80,":                    "a:80, with spaces between them",
		"ws://one,two":             "",
		"ws:///ws":                 "",
		"ws://":                    "",
		"ws:8080/chat":             "", // a host called ws
		"wss":                      "",
		"ftp://h":                  "",
		"":                         "",
		"ws://ana:secret@h":        "",
		"http://ana:secret@h:1":    "",
		"ws//h:70000":              "",
		"localhost:8080/ws":        "",
		"unix:/run/{env.X}.sock":   "",
		"/run/chat":                "",
		"ws://h:1/x?token=secret":  "",
		"http://h:1/?token=secret": "",
	} {
		if got := Meant(s); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}
