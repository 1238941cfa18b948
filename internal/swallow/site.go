package swallow

import (
	"reflect"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

// Site is the site around directives. It is read once for all of them, so that
// the time for a Caddyfile grows with its length, and not with the square.
type Site struct {
	// Addresses of the site. None if they cannot be read.
	Addresses []string
	// Listeners is how many listeners the addresses need: one for each port.
	Listeners int

	order    []string
	matchers map[string]matcher
	gates    map[word]place    // the wsgate directives
	proxies  map[leads][]proxy // in the order of the text
	count    int               // of proxies
	kept     [2]reflect.Value  // what siteKey points to
}

// siteKey names a site while a Caddyfile is adapted: where Caddy has its lines
// and its addresses.
type siteKey [2]uintptr

// SiteOf returns the site that a directive is in. Caddy's helper has it but gives
// no access, so it is read by reflection. If another version of Caddy uses other
// names, the site is empty, and there are no warnings.
//
// Caddy removes the matcher of each directive that it has read. So the site has
// the matchers of those that come after its first wsgate.
func SiteOf(h httpcaddyfile.Helper) *Site {
	segments := field(field(reflect.ValueOf(h), "parentBlock"), "Segments")
	keys := field(field(reflect.ValueOf(h), "parentBlock"), "Keys")
	if segments.Kind() != reflect.Slice || keys.Kind() != reflect.Slice || h.State == nil {
		return &Site{order: orderOf(h)}
	}
	const stateKey = "wsgate.sites"
	sites, ok := h.State[stateKey].(map[siteKey]*Site)
	if !ok {
		sites = make(map[siteKey]*Site)
		h.State[stateKey] = sites
	}
	key := siteKey{segments.Pointer(), keys.Pointer()}
	if sites[key] == nil {
		sites[key] = newSite(linesOf(segments), addressesOf(keys), orderOf(h))
		sites[key].kept = [2]reflect.Value{segments, keys} // so that no other site has this key
	}
	return sites[key]
}

// newSite indexes a site for its directives.
func newSite(lines []line, addresses, order []string) *Site {
	s := &Site{
		Addresses: addresses,
		order:     order,
		matchers:  make(map[string]matcher),
		gates:     make(map[word]place),
		proxies:   make(map[leads][]proxy),
		Listeners: portsOf(addresses),
	}
	for _, l := range lines {
		name := l[0].text
		if _, twice := s.matchers[name]; strings.HasPrefix(name, "@") && !twice {
			s.matchers[name] = matcherOf(l)
		}
	}
	s.read(&block{lines: lines})
	return s
}

// linesOf returns the lines of a site.
func linesOf(segments reflect.Value) (lines []line) {
	for i := range segments.Len() {
		tokens := segments.Index(i)
		if tokens.Kind() != reflect.Slice || tokens.Len() == 0 {
			continue
		}
		l := make(line, tokens.Len())
		for j := range l {
			l[j] = wordOf(tokens.Index(j))
		}
		lines = append(lines, l)
	}
	return lines
}

// addressesOf returns the addresses of a site.
func addressesOf(keys reflect.Value) (addresses []string) {
	for i := range keys.Len() {
		addresses = append(addresses, wordOf(keys.Index(i)).text)
	}
	return addresses
}

// portsOf counts the ports that addresses need.
func portsOf(addresses []string) int {
	ports := make(map[string]bool)
	for _, text := range addresses {
		a, err := httpcaddyfile.ParseAddress(text)
		if err != nil {
			continue // Caddy reports what is wrong with it
		}
		port := a.Port
		switch {
		case port != "":
		case a.Scheme == "http":
			port = "80"
		default:
			port = "443"
		}
		ports[port] = true
	}
	return len(ports)
}

func wordOf(token reflect.Value) word {
	text, file, number, quoted := field(token, "Text"), field(token, "File"), field(token, "Line"), field(token, "wasQuoted")
	if !number.CanInt() || !quoted.CanInt() {
		return word{}
	}
	return word{text: text.String(), file: file.String(), line: int(number.Int()), quoted: quoted.Int() != 0}
}

// field returns a field of a struct, or the zero Value.
func field(v reflect.Value, name string) reflect.Value {
	if v.Kind() != reflect.Struct {
		return reflect.Value{}
	}
	return v.FieldByName(name)
}
