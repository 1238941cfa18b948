// Package policy answers: what is configured for a gate? It has the words of a
// gate's policy, in JSON and in the Caddyfile, both in a directive and in a
// gate of the global option.
package policy

// Names are the words of a policy that are also allowed in a gate of the global
// option.
var Names = []string{"mode", "open_when", "when_closed", "reason", "closing"}
