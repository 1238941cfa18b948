// Package registry holds what outlives a configuration: the named gates, with
// their tunnels, drains and counters, and the live flags. It is the one place
// that knows a gate and its tunnels, and one of wsgate's process-wide variables;
// the ledger of switches and flags is its own.
//
// Configurations come and go above it. A handler takes a gate by name when it
// is provisioned ([Acquire]) and gives it back when it is cleaned up
// ([Entry.Release]). A configuration is put in force at Start ([Begin]) and
// taken out at Stop ([End]). What can be taken back happens at Begin: the new
// policy answers handshakes. What cannot be taken back (ending tunnels, forgetting
// a gate, writing to another storage) waits until the previous configuration's
// End, because until then Caddy may still return to it.
//
// Where to look: config.go has the life of configurations; entry.go the gate and
// what follows from its changes; switch.go an operator's call; record.go and
// records.go what is stored, and how it comes back; look.go and follow.go the
// rules and the clock; table.go, tunnels.go, limits.go and usage.go the open
// tunnels; drain.go their end; happens.go what listeners are sent; counters.go,
// past.go and status.go what can be asked; shutdown.go the end of the process.
//
// Lock order: the coming and going of configurations, then registry.mu, then
// Entry.changing, then Entry.mu and the locks of table, drain and flags. The
// ledger's lock and that of a listener's queue are the innermost. No lock is held
// while a peer, the storage, a log or a rule is called.
package registry
