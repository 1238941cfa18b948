package upstream

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"

	"github.com/wsgate/wsgate/internal/words"
)

// Words parses the words of a Caddyfile that say where handshakes go:
// upstreams, and the words of reverse_proxy.
type Words struct {
	// Start is the directive that has the words.
	Start caddyfile.Token
	// Seen has the words that may occur only once.
	Seen words.Once
	// Others are the words of the block that other code parses.
	Others []string

	upstreams []placedAddress
	rest      []caddyfile.Segment // reverse_proxy's words
}

// placedAddress is an upstream with its place in the Caddyfile.
type placedAddress struct {
	Address
	token caddyfile.Token
}

// Upstream reads one address.
func (p *Words) Upstream(token caddyfile.Token) error {
	d := words.Dispenser(token)
	if meant := p.misplaced(token.Text); meant != "" {
		return d.Errf("upstream %q: %s", token.Text, meant)
	}
	parsed, err := ParseAddress(token.Text)
	if err != nil {
		if right := Meant(token.Text); right != "" {
			return d.Errf("upstream %q: want %s", token.Text, right)
		}
		return d.WrapErr(err)
	}
	a := placedAddress{parsed, token}
	switch {
	case a.Secure && strings.HasSuffix(a.Dial, ":80"):
		return d.Errf("upstream %q: port 80 is the one without TLS: want ws:// or another port", token.Text)
	case a.hasScheme() && !a.Secure && strings.HasSuffix(a.Dial, ":443"):
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

// hasScheme reports whether the address says whether it uses TLS.
func (a placedAddress) hasScheme() bool { return strings.Contains(a.token.Text, "://") }

// To reads a line of upstreams.
func (p *Words) To(d *caddyfile.Dispenser) error {
	tokens := d.RemainingArgsAsTokens()
	if len(tokens) == 0 {
		return d.Err("to: want at least one upstream such as ws://127.0.0.1:8080")
	}
	for _, token := range tokens {
		if err := p.Upstream(token); err != nil {
			return err
		}
	}
	return words.EndLine(d, "to")
}

// Dials returns the addresses of the upstreams, in the form that reverse_proxy
// takes.
func (p *Words) Dials() []string {
	dials := make([]string, len(p.upstreams))
	for i, a := range p.upstreams {
		dials[i] = a.Dial
	}
	return dials
}

func (p *Words) errf(format string, args ...any) error {
	return words.Dispenser(p.Start).WrapErr(fmt.Errorf(format, args...))
}

// Proxy gives reverse_proxy's words to reverse_proxy's own parser.
func (p *Words) Proxy(helper httpcaddyfile.Helper) (*reverseproxy.Handler, error) {
	if _, dynamic := p.Seen["dynamic"]; len(p.upstreams) == 0 && !dynamic {
		return nil, p.errf("no upstream: want one such as ws://127.0.0.1:8080, or dynamic")
	}
	proxy := new(reverseproxy.Handler)
	if err := proxy.UnmarshalCaddyfile(caddyfile.NewDispenser(p.proxyTokens())); err != nil {
		return nil, err
	}
	if err := proxy.FinalizeUnmarshalCaddyfile(helper); err != nil {
		return nil, err
	}
	if err := p.checkTransport(proxy.TransportRaw); err != nil {
		return nil, err
	}
	for _, response := range proxy.HandleResponse {
		if m := response.Match; m != nil && (slices.Contains(m.StatusCode, 101) || slices.Contains(m.StatusCode, 1)) {
			return nil, p.errf("handle_response never sees the 101 of a handshake: leave out status 101 and 1xx")
		}
	}
	return proxy, nil
}

// proxyTokens writes the directive as a reverse_proxy directive, with all
// upstreams on the first line. The lines of the block keep their numbers, for
// errors.
func (p *Words) proxyTokens() []caddyfile.Token {
	line := func(text string) caddyfile.Token {
		return caddyfile.Token{File: p.Start.File, Line: p.Start.Line, Text: text}
	}
	tokens := []caddyfile.Token{line("reverse_proxy")}
	for _, a := range p.upstreams {
		if a.Secure {
			tokens = append(tokens, line("https://"+strings.Replace(a.Dial, "%", "%25", 1))) // the zone of an IPv6 address
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

// checkTransport refuses a transport that contradicts the scheme of the
// upstreams, or that cannot carry a handshake.
func (p *Words) checkTransport(raw json.RawMessage) error {
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
		return p.errf("transport http: versions %s cannot carry a handshake: add 1.1", strings.Join(transport.Versions, " "))
	}
	if transport.TLS == nil {
		return nil
	}
	for _, a := range p.upstreams {
		if a.hasScheme() && !a.Secure {
			return p.errf("upstream %q is without TLS, and the transport is with TLS: want wss://", a.token.Text)
		}
	}
	return nil
}

// Path decides how the request's path changes to the upstream's. prefix is the
// part that path replaces; if it is empty, path replaces the whole path. If
// both are empty, the path is not changed.
func (p *Words) Path(matchers caddy.ModuleMap, proxy *reverseproxy.Handler) (prefix, path string, err error) {
	if len(p.upstreams) == 0 || !p.upstreams[0].HasPath {
		return "", "", nil
	}
	first := p.upstreams[0]
	if proxy.Rewrite != nil {
		return "", "", p.errf("upstream %q has a path, and rewrite makes another: want one of them", first.token.Text)
	}
	prefix, ok := prefixToStrip(matchers)
	switch {
	case !ok && first.Path == "/":
		return "", "", nil // the root alone means: the path as it was sent
	case !ok:
		p.warnConstantPath(first)
		return "", first.Path, nil
	case strings.Contains(first.Path, "{"):
		return "", "", p.errf("upstream %q: a path with placeholders is the whole path, and the matcher %s* asks for its prefix to be replaced: want a constant path, or a matcher such as path_regexp", first.token.Text, prefix)
	}
	return prefix, first.Path, nil
}

// warnConstantPath warns of a constant path that looks like a replacement for a
// prefix, if there is no prefix: every handshake would get it as its whole
// path.
func (p *Words) warnConstantPath(a placedAddress) {
	if strings.HasSuffix(a.Path, "/") && !strings.Contains(a.Path, "{") {
		caddy.Log().Named("caddyfile").Warn("every handshake of this wsgate reaches the upstream at the same path: no path pattern ends in /*, so there is no prefix to replace",
			zap.String("upstream", a.token.Text), zap.String("path", a.Path), zap.String("file", p.Start.File), zap.Int("line", p.Start.Line),
			zap.String("remedy", "write wsgate /prefix/* …, or leave the path out and it stays as it was sent"))
	}
}

// prefixToStrip returns the prefix of a matcher that has one path pattern,
// which ends in /*. The set may also have matchers of other kinds.
func prefixToStrip(set caddy.ModuleMap) (prefix string, ok bool) {
	patterns := PathPatterns(set)
	if len(patterns) != 1 {
		return "", false
	}
	prefix, ok = strings.CutSuffix(patterns[0], "*")
	return prefix, ok && strings.HasSuffix(prefix, "/") && !strings.ContainsAny(prefix, "*{")
}

// PathPatterns returns the patterns of a matcher set's path matcher.
func PathPatterns(set caddy.ModuleMap) []string {
	var patterns []string
	if json.Unmarshal(set["path"], &patterns) != nil {
		return nil
	}
	return patterns
}
