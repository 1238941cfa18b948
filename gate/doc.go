// Package gate answers one question: may a connection pass now?
//
// A [Gate] combines what the configuration says (a [Policy]: mode and rules)
// with what an operator said while it ran (an [Override]) into a [Snapshot]:
// the state in force, why, since when, and the next moment at which it can
// change. Reading the answer takes no lock; whoever follows the clock, the
// flags and the operator calls Refresh, SetPolicy or SetOverride, and is told
// what was before and what is now.
//
// The package knows neither HTTP nor Caddy nor tunnels, and reads no clock:
// time is an argument.
package gate
