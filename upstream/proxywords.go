package upstream

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// often is how often one of reverse_proxy's words may stand in a block. In
// reverse_proxy a second one silently replaces the first; here it is refused.
type often int

const (
	onceOnly often = iota + 1
	several
)

// keptWords are reverse_proxy's words that have the same meaning in a wsgate
// block.
var keptWords = map[string]often{
	"dynamic": onceOnly, "transport": onceOnly, "trusted_proxies": several,
	"header_up": several, "header_down": several, "rewrite": onceOnly, "handle_response": several,
	"verbose_logs": onceOnly, "proxy_status_name": onceOnly,

	"lb_policy": onceOnly, "lb_retries": onceOnly, "lb_try_duration": onceOnly, "lb_try_interval": onceOnly, "lb_retry_match": several,

	"health_uri": onceOnly, "health_path": onceOnly, "health_upstream": onceOnly, "health_port": onceOnly, "health_interval": onceOnly,
	"health_passes": onceOnly, "health_fails": onceOnly, "health_timeout": onceOnly, "health_status": onceOnly, "health_body": onceOnly,
	"health_method": onceOnly, "health_request_body": onceOnly, "health_follow_redirects": onceOnly, "health_headers": onceOnly,

	"fail_duration": onceOnly, "max_fails": onceOnly, "unhealthy_status": several, "unhealthy_latency": onceOnly, "unhealthy_request_count": onceOnly,
}

// refusedWords are reverse_proxy's words that have no use here, each with the
// reason.
var refusedWords = map[string]string{
	"method":             "a handshake is a GET, whatever the upstream",
	"flush_interval":     "a tunnel passes every byte on at once",
	"request_buffers":    "a handshake has no body to buffer",
	"response_buffers":   "a tunnel is not buffered",
	"stream_buffer_size": "an idle tunnel has no buffer, and a busy one borrows it",
	"replace_status":     "it would hide the backend's answer to a handshake; handle_response can answer in its place",
}

// Word reads one of reverse_proxy's words, or refuses it. known is false if it
// is another word.
func (p *Words) Word(d *caddyfile.Dispenser, seg caddyfile.Segment) (known bool, err error) {
	name := d.Val()
	if why, refused := refusedWords[name]; refused {
		return true, d.Errf("%s has no place in wsgate: %s", name, why)
	}
	times := keptWords[name]
	if strings.HasPrefix(name, "@") { // a response matcher for handle_response
		times = several
	}
	switch times {
	case several:
	case onceOnly:
		if err := p.Seen.Record(d, name); err != nil {
			return true, err
		}
	default:
		return false, nil
	}
	if name == "transport" && d.NextArg() && d.Val() == "fastcgi" {
		return true, d.Err("transport fastcgi has no place in wsgate: it cannot carry a WebSocket; want transport http")
	}
	p.rest = append(p.rest, seg)
	return true, nil
}

// ProxyWords returns all words of reverse_proxy that a wsgate block accepts, or
// refuses with a reason.
func ProxyWords() []string {
	return append(slices.Sorted(maps.Keys(keptWords)), slices.Sorted(maps.Keys(refusedWords))...)
}

// CheckProxy refuses in JSON what the Caddyfile refuses or replaces with
// wsgate's own words. In wsgate these options would do nothing, or harm.
func CheckProxy(p *reverseproxy.Handler) error {
	if slices.Contains(p.Upstreams, nil) {
		return errors.New("proxy.upstreams: null is no upstream: want objects with dial")
	}
	for _, word := range []struct {
		set  bool
		name string
	}{
		{p.FlushInterval != 0, "flush_interval"},
		{p.RequestBuffers != 0, "request_buffers"},
		{p.ResponseBuffers != 0, "response_buffers"},
		{p.StreamBufferSize != 0, "stream_buffer_size"},
	} {
		if word.set {
			return fmt.Errorf("proxy.%s has no place in wsgate: %s", word.name, refusedWords[word.name])
		}
	}
	switch {
	case p.Rewrite != nil && p.Rewrite.Method != "":
		return fmt.Errorf("proxy.rewrite.method has no place in wsgate: %s", refusedWords["method"])
	case p.StreamTimeout != 0:
		return errors.New("proxy.stream_timeout has no place in wsgate: want max_lifetime beside proxy")
	case p.StreamCloseDelay != 0:
		return errors.New("proxy.stream_close_delay has no place in wsgate: want policy.closing, which says what becomes of tunnels")
	}
	return nil
}
