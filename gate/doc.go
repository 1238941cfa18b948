// Package gate answers one question: may a connection pass now?
//
// [Decide] is the answer as a pure function: of what the configuration says (a
// [Policy]: mode and rules), of what an operator said while it ran (an
// [Override]), of what the rules last said, and of the time. A [Gate] holds these
// and the [Snapshot] that is in force: the state, why, since when, and the next
// moment at which it can change. Reading it takes no lock.
//
// Rules are asked outside of every lock, because one may take any time to answer:
// a [Look] is made first, and [Gate.Apply] puts it in force, unless something
// else was put in force meanwhile. A rule that cannot be read keeps its last
// answer, over reloads that say the same.
//
// The package knows neither HTTP nor Caddy nor tunnels, and reads no clock:
// time is an argument.
package gate
