package wsgate

import (
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/wsgate/wsgate/internal/registry"
	"github.com/wsgate/wsgate/internal/words"
	"github.com/wsgate/wsgate/policy"
)

// ownWords are the words of a wsgate block that are not reverse_proxy's.
var ownWords = []string{
	"gate", "name", "id", "mode", "open_when", "when_closed", "reason", "closing",
	"handshake_timeout", "idle_timeout", "max_lifetime", "to",
}

// often is how often one of reverse_proxy's words may stand in a block. There
// a second one replaces the first without a word; here it is refused.
type often int

const (
	single often = iota + 1
	several
)

// keptWords are reverse_proxy's words that mean in a wsgate block what they
// mean there.
var keptWords = map[string]often{
	"dynamic": single, "transport": single, "trusted_proxies": several,
	"header_up": several, "header_down": several, "rewrite": single, "handle_response": several,
	"verbose_logs": single, "proxy_status_name": single,

	"lb_policy": single, "lb_retries": single, "lb_try_duration": single, "lb_try_interval": single, "lb_retry_match": several,

	"health_uri": single, "health_path": single, "health_upstream": single, "health_port": single, "health_interval": single,
	"health_passes": single, "health_fails": single, "health_timeout": single, "health_status": single, "health_body": single,
	"health_method": single, "health_request_body": single, "health_follow_redirects": single, "health_headers": single,

	"fail_duration": single, "max_fails": single, "unhealthy_status": several, "unhealthy_latency": single, "unhealthy_request_count": single,
}

// refusedWords are reverse_proxy's words that cannot mean anything here.
var refusedWords = map[string]string{
	"method":             "a handshake is a GET, whatever the upstream",
	"flush_interval":     "a tunnel passes every byte on at once",
	"request_buffers":    "a handshake has no body to buffer",
	"response_buffers":   "a tunnel is not buffered",
	"stream_buffer_size": "an idle tunnel has no buffer, and a busy one borrows it",
	"replace_status":     "it would hide the backend's answer to a handshake; handle_response can answer in its place",
}

// proxyWord takes a word of reverse_proxy, or refuses it.
func (p *directive) proxyWord(d *caddyfile.Dispenser, seg caddyfile.Segment) error {
	name := d.Val()
	if why, refused := refusedWords[name]; refused {
		return d.Errf("%s has no place in wsgate: %s", name, why)
	}
	times := keptWords[name]
	if strings.HasPrefix(name, "@") { // a response matcher for handle_response
		times = several
	}
	switch times {
	case several:
	case single:
		if err := p.Seen.Take(d, name); err != nil {
			return err
		}
	default:
		return d.Err(unknownWord(name))
	}
	if name == "transport" && d.NextArg() && d.Val() == "fastcgi" {
		return d.Err("transport fastcgi has no place in wsgate: it cannot carry a WebSocket; want transport http")
	}
	p.rest = append(p.rest, seg)
	return nil
}

// closeDelay maps reverse_proxy's word for how long tunnels outlive their
// configuration. Here they outlive it for good, unless their gate is gone from
// it: then they are treated as closing says.
func (p *directive) closeDelay(d *caddyfile.Dispenser) error {
	p.Note(d.Token())
	if err := p.Seen.Take(d, "closing"); err != nil {
		return err
	}
	value, err := words.Duration(d, "stream_close_delay", "without the word tunnels are kept")
	if err != nil {
		return err
	}
	if value > registry.MaxDeadline {
		return d.Errf("stream_close_delay %q: want at most 24h", value)
	}
	p.Policy.Closing = &policy.Closing{Policy: "drain", Deadline: caddy.Duration(value)}
	return nil
}
