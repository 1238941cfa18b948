// Package events passes on what happened to whoever listens, such as the log
// and Caddy's own events.
//
// A publisher never waits for a listener. Each listener has a bounded queue. One
// goroutine calls it, and lives only while the queue has events. Events of one
// gate arrive in order, and so do those of one tunnel. A listener that is too
// slow misses events, and learns how many. It does not lose the state of a gate:
// once its queue is empty, it gets the switches and the state of each gate whose
// events it missed, from what is recorded ([Hub.SetRecaller]).
//
// A listener may hang. Publishers and other listeners go on. A configuration
// that is loaded may bring another log, so it has each listener that hangs called
// by another goroutine ([Hub.ReplaceHung]).
//
// The package holds one process-wide variable, [Default]: the hub of the
// process. What happens outlives a configuration, as tunnels do, so no
// configuration can own the hub.
package events
