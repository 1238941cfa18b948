package wsgate

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"

	"github.com/wsgate/wsgate/internal/words"
	"github.com/wsgate/wsgate/upstream"
)

// address is an upstream, and where it stands.
type address struct {
	upstream.Address
	token caddyfile.Token
}

// upstream takes one address.
func (p *directive) upstream(token caddyfile.Token) error {
	d := words.Dispenser(token)
	if meant := p.meantOtherwise(token.Text); meant != "" {
		return d.Errf("upstream %q: %s", token.Text, meant)
	}
	parsed, err := upstream.ParseAddress(token.Text)
	if err != nil {
		if right := upstream.Meant(token.Text); right != "" {
			return d.Errf("upstream %q: want %s", token.Text, right)
		}
		return d.WrapErr(err)
	}
	a := address{parsed, token}
	switch {
	case a.Secure && strings.HasSuffix(a.Dial, ":80"):
		return d.Errf("upstream %q: port 80 is the one without TLS: want ws:// or another port", token.Text)
	case a.scheme() && !a.Secure && strings.HasSuffix(a.Dial, ":443"):
		return d.Errf("upstream %q: port 443 is the one with TLS: want wss:// or another port", token.Text)
	}
	if len(p.upstreams) > 0 {
		first := p.upstreams[0]
		if a.Secure != first.Secure {
			return d.Errf("upstream %q: all upstreams of a directive are ws:// or all are wss://, and the first is %q", token.Text, first.token.Text)
		}
		if a.Path != first.Path || a.HasPath != first.HasPath {
			return d.Errf("upstream %q: all upstreams of a directive have the same path, and the first is %q", token.Text, first.token.Text)
		}
	}
	p.upstreams = append(p.upstreams, a)
	return nil
}

// scheme reports whether the address says if it is with TLS or without.
func (a address) scheme() bool { return strings.Contains(a.token.Text, "://") }

func (p *directive) to(d *caddyfile.Dispenser) error {
	tokens := d.RemainingArgsAsTokens()
	if len(tokens) == 0 {
		return d.Err("to: want at least one upstream such as ws://127.0.0.1:8080")
	}
	for _, token := range tokens {
		if err := p.upstream(token); err != nil {
			return err
		}
	}
	return words.LineEnds(d, "to")
}

// proxy gives reverse_proxy's own parser what is its own.
func (p *directive) proxy() error {
	if _, dynamic := p.Seen["dynamic"]; len(p.upstreams) == 0 && !dynamic {
		return p.Errf("no upstream: want one such as ws://127.0.0.1:8080, or dynamic")
	}
	p.handler.Proxy = new(reverseproxy.Handler)
	if err := p.handler.Proxy.UnmarshalCaddyfile(caddyfile.NewDispenser(p.proxyTokens())); err != nil {
		return err
	}
	if err := p.handler.Proxy.FinalizeUnmarshalCaddyfile(p.helper); err != nil {
		return err
	}
	if err := p.checkTransport(); err != nil {
		return err
	}
	for _, response := range p.handler.Proxy.HandleResponse {
		if m := response.Match; m != nil && (slices.Contains(m.StatusCode, 101) || slices.Contains(m.StatusCode, 1)) {
			return p.Errf("handle_response never sees the 101 of a handshake: leave out status 101 and 1xx")
		}
	}
	return nil
}

// proxyTokens writes the directive as one of reverse_proxy, all upstreams on
// its first line. The lines of the block keep their places, for its errors.
func (p *directive) proxyTokens() []caddyfile.Token {
	line := func(text string) caddyfile.Token {
		return caddyfile.Token{File: p.Start.File, Line: p.Start.Line, Text: text}
	}
	tokens := []caddyfile.Token{line("reverse_proxy")}
	for _, a := range p.upstreams {
		if a.Secure {
			tokens = append(tokens, line("https://"+strings.Replace(a.Dial, "%", "%25", 1))) // of an IPv6 zone
		} else {
			tokens = append(tokens, line(a.Dial))
		}
	}
	if len(p.rest) == 0 {
		return tokens
	}
	tokens = append(tokens, line("{"))
	for _, seg := range p.rest {
		tokens = append(tokens, seg...)
	}
	last := tokens[len(tokens)-1]
	end := last.Line + last.NumLineBreaks() + 1
	return append(tokens, caddyfile.Token{File: last.File, Line: end, Text: "}"})
}

// checkTransport refuses a transport that says something else than the scheme
// of the upstreams, or cannot carry a handshake.
func (p *directive) checkTransport() error {
	raw := p.handler.Proxy.TransportRaw
	if raw == nil {
		return nil
	}
	var transport struct {
		Protocol string          `json:"protocol"`
		TLS      json.RawMessage `json:"tls"`
		Versions []string        `json:"versions"`
	}
	if err := json.Unmarshal(raw, &transport); err != nil || transport.Protocol != "http" {
		return nil //nolint:nilerr // another module's own affair
	}
	if len(transport.Versions) > 0 && !slices.Contains(transport.Versions, "1.1") {
		return p.Errf("transport http: versions %s cannot carry a handshake: add 1.1", strings.Join(transport.Versions, " "))
	}
	if transport.TLS == nil {
		return nil
	}
	for _, a := range p.upstreams {
		if a.scheme() && !a.Secure {
			return p.Errf("upstream %q is without TLS, and the transport is with TLS: want wss://", a.token.Text)
		}
	}
	return nil
}

// path decides how the request's path becomes the upstream's.
func (p *directive) path() error {
	if len(p.upstreams) == 0 || !p.upstreams[0].HasPath {
		return nil
	}
	first := p.upstreams[0]
	if p.handler.Proxy.Rewrite != nil {
		return p.Errf("upstream %q has a path, and rewrite makes another: want one of them", first.token.Text)
	}
	prefix, ok := strippable(p.matchers)
	switch {
	case !ok && first.Path == "/":
		return nil // the root alone means: whatever was asked for
	case !ok:
		p.warnOfOnePath(first)
	case strings.Contains(first.Path, "{"):
		return p.Errf("upstream %q: a path with placeholders is the whole path, and the matcher %s* asks for its prefix to be replaced: want a constant path, or a matcher such as path_regexp", first.token.Text, prefix)
	default:
		p.handler.StripPathPrefix = prefix
	}
	p.handler.UpstreamPath = first.Path
	return nil
}

// warnOfOnePath warns of a constant path that looks like the place of a prefix,
// where there is none: every handshake would get it as its whole path.
func (p *directive) warnOfOnePath(a address) {
	if strings.HasSuffix(a.Path, "/") && !strings.Contains(a.Path, "{") {
		caddy.Log().Named("caddyfile").Warn("every handshake of this wsgate reaches the upstream at the same path: no path pattern ends in /*, so there is no prefix to replace",
			zap.String("upstream", a.token.Text), zap.String("path", a.Path), zap.String("file", p.Start.File), zap.Int("line", p.Start.Line),
			zap.String("remedy", "write wsgate /prefix/* …, or leave the path out and it stays as it was sent"))
	}
}

// strippable returns the prefix of a matcher with one path pattern, which ends
// in /*. Matchers of other kinds may stand beside it.
func strippable(set caddy.ModuleMap) (prefix string, ok bool) {
	patterns := pathPatterns(set)
	if len(patterns) != 1 {
		return "", false
	}
	prefix, ok = strings.CutSuffix(patterns[0], "*")
	return prefix, ok && strings.HasSuffix(prefix, "/") && !strings.ContainsAny(prefix, "*{")
}

// pathPatterns returns the patterns of a matcher set's path matcher.
func pathPatterns(set caddy.ModuleMap) []string {
	var patterns []string
	if json.Unmarshal(set["path"], &patterns) != nil {
		return nil
	}
	return patterns
}
