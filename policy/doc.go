// Package policy answers: what is a gate told? It has the words of a gate's
// policy, in JSON and in the Caddyfile, wherever they stand: in a directive, or
// in a gate of the global option.
package policy

// Names are the words of a policy that stand in a gate of the global
// option, too.
var Names = []string{"mode", "open_when", "when_closed", "reason", "closing"}
