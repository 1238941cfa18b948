// Package registry holds what outlives a configuration: the named gates with
// their tunnels, drains and counters, and the live flags. It is the one package
// that knows both a gate and its tunnels.
//
// The package holds one process-wide variable, reg: the registry of the process,
// with its ledger of switches and flags. A tunnel outlives the configuration
// that opened it, and an operator's switch outlives a reload. So neither can
// belong to a configuration.
//
// Configurations come and go. A handler takes a gate by name when it is
// provisioned ([Acquire]), and releases it when it is cleaned up
// ([Entry.Release]). Start puts a configuration in force ([Begin]), and Stop
// takes it out of force ([End]). Begin does what can be undone: the new policies
// answer handshakes. Three things cannot be undone: to end tunnels, to forget a
// gate, and to write to another storage. They wait for the End of the older
// configuration, because until then Caddy may return to it.
//
// The files:
//
//	config.go                   configurations in force
//	entry.go                    a gate, and the effects of its changes
//	switch.go                   an operator's switch
//	record.go, records.go       what is stored, and how it is read again
//	look.go, follow.go          the rules and the clock
//	table.go, tunnels.go,
//	limits.go, usage.go         the open tunnels
//	drain.go                    how tunnels are closed
//	happens.go                  the events that the registry publishes
//	counters.go, past.go,
//	status.go, upstreams.go     what can be asked
//	valid.go                    the values that are allowed
//	tidy.go                     memory after a burst of handshakes
//	shutdown.go                 the end of the process
//
// Lock order: registry.changing, registry.mu, Entry.changing, then Entry.mu and
// the locks of table, drain and flags. The locks of the ledger and of a
// listener's queue are the innermost. No lock is held while a peer, the storage,
// a log or a rule is called.
package registry
