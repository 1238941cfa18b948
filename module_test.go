package wsgate

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestJSONIsRefusedWhatTheCaddyfileRefuses(t *testing.T) {
	for words, want := range map[string]string{
		`"rewrite":{"method":"POST"}`: "proxy.rewrite.method has no place in wsgate: a handshake is a GET, whatever the upstream",
		`"flush_interval":-1`:         "proxy.flush_interval has no place in wsgate: a tunnel passes every byte on at once",
		`"request_buffers":4096`:      "proxy.request_buffers has no place in wsgate: a handshake has no body to buffer",
		`"response_buffers":-1`:       "proxy.response_buffers has no place in wsgate: a tunnel is not buffered",
		`"stream_buffer_size":1024`:   "proxy.stream_buffer_size has no place in wsgate: an idle tunnel has no buffer, and a busy one borrows it",
		`"stream_timeout":"1h"`:       "want max_lifetime beside proxy",
		`"stream_close_delay":"1m"`:   "want policy.closing",
		`"upstreams":[null]`:          "null is no upstream",
		`"rewrite":{"uri":"/x"}`:      "upstream_path makes a path, and proxy.rewrite another",
	} {
		h := new(Handler)
		text := `{"upstream_path":"/y","proxy":{"upstreams":[{"dial":"127.0.0.1:80"}],` + words + `}}`
		if err := json.Unmarshal([]byte(text), h); err != nil {
			t.Fatal(err)
		}
		h.setDefaults()
		if err := h.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", words, err)
		}
	}
}
