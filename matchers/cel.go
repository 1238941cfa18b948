package matchers

import (
	"fmt"
	"reflect"

	"cel.dev/cel-go/common/types/ref"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// words are the strings of a call in an expression.
type words []string

// stringList returns the strings of a CEL list.
func stringList(data ref.Val) (words, error) {
	list, err := data.ConvertToNative(reflect.TypeFor[[]string]())
	if err != nil {
		return nil, fmt.Errorf("want strings: %w", err)
	}
	return list.([]string), nil
}

// dispenser returns the words as a line of a Caddyfile, so that both use one
// parser.
func (w words) dispenser(name string) *caddyfile.Dispenser {
	tokens := []caddyfile.Token{{Text: name, File: "expression", Line: 1}}
	for _, word := range w {
		tokens = append(tokens, caddyfile.Token{Text: word, File: "expression", Line: 1})
	}
	return caddyfile.NewDispenser(tokens)
}
