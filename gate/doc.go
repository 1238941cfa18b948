// Package gate answers one question: may a connection pass now?
//
// [Decide] gives the answer, as a pure function of four things: the
// configuration (a [Policy]: mode and rules), the operator's switch at run time
// (an [Override]), the last answers of the rules, and the time. A [Gate] holds
// them together with the [Snapshot] in force: the state, its cause, its begin,
// and the next moment at which it can change. Reading the snapshot takes no
// lock.
//
// Rules are asked outside of every lock, because a rule may take any time to
// answer. A [Look] is made first, and [Gate.Apply] puts it in force, unless
// something else was put in force meanwhile. A rule that cannot be read keeps
// its last answer, also after a reload that has the same rule.
//
// The package knows neither HTTP nor Caddy nor tunnels, and reads no clock:
// time is an argument.
package gate
