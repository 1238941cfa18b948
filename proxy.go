package wsgate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/wsgate/wsgate/internal/registry"
)

// checkProxy refuses in JSON what the Caddyfile refuses or maps to words of its
// own: here it would do nothing, or harm.
func checkProxy(p *reverseproxy.Handler) error {
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

// upstreams are those of the configuration, as reverse_proxy sees them. One with
// a placeholder may be any number of backends, and has no health of its own.
func (h *Handler) upstreams() (all []registry.UpstreamHealth) {
	for _, u := range h.Proxy.Upstreams {
		if !strings.Contains(u.Dial, "{") {
			all = append(all, registry.UpstreamHealth{Address: u.Dial, Healthy: u.Healthy(), Fails: u.Host.Fails()})
		}
	}
	return all
}
