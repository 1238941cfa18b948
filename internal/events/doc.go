// Package events passes on what happened to whoever listens, such as the log
// and Caddy's own events.
//
// A publisher never waits for a listener. Each listener has a bounded queue. One
// goroutine calls it, and lives only while the queue has events. Events of one
// gate arrive in order, and so do those of one tunnel.
//
// A listener that is too slow misses events once its queue is full, and learns
// how many ([Missed]). Two kinds of events are kept for it apart from the queue,
// and it gets them late: the last event of each gate that has the gate's state
// ([Event.Lasting]), and switches ([Event.Switch]). Of these, too, there is a
// limit. The switches that are dropped are counted for each gate, and the last
// one of a gate never is.
//
// A listener may hang. Publishers and other listeners go on. A configuration
// that is loaded may bring another log, so it has each listener that hangs called
// by another goroutine ([Hub.ReplaceHung]). A call that hangs cannot be ended: it
// costs a goroutine until it returns. Each load adds at most one for each
// listener.
//
// The package holds one process-wide variable, [Default]: the hub of the
// process. What happens outlives a configuration, as tunnels do, so no
// configuration can own the hub.
package events
