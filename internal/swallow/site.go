package swallow

import (
	"reflect"

	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

// siteOf returns the lines of the site that a directive is in. Caddy's helper
// has them but gives no access, so they are read by reflection. If another
// version of Caddy uses other names, there are no lines and no warnings.
func siteOf(h httpcaddyfile.Helper) []line {
	segments := field(field(reflect.ValueOf(h), "parentBlock"), "Segments")
	if segments.Kind() != reflect.Slice {
		return nil
	}
	var lines []line
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

// Addresses returns the addresses of the site that a directive is in, also by
// reflection. It returns none if they cannot be read.
func Addresses(h httpcaddyfile.Helper) []string {
	keys := field(field(reflect.ValueOf(h), "parentBlock"), "Keys")
	if keys.Kind() != reflect.Slice {
		return nil
	}
	var addresses []string
	for i := range keys.Len() {
		addresses = append(addresses, wordOf(keys.Index(i)).text)
	}
	return addresses
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
