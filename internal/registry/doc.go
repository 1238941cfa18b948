// Package registry holds what outlives a configuration: the named gates, their
// tunnels, the live flags, and the store behind the switch. It is wsgate's one
// process-wide variable, and the one place that knows a gate and its tunnels.
//
// Configurations come and go above it. A handler takes a gate by name when it
// is provisioned ([Acquire]) and gives it back when it is cleaned up
// ([Entry.Release]); a configuration is put in force at Start ([Begin]) and
// taken back at Stop ([End]). What can be taken back happens at Begin: the new
// policy answers handshakes. What cannot (ending tunnels, forgetting a gate,
// writing storage) waits until the previous configuration's End, because until
// then Caddy may still return to it.
//
// Lock order: the coming and going of configurations, then registry, then
// entry, then gate. No lock is held while a peer,
// the storage or a log is written.
package registry
