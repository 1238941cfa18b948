// Package events hands what happened on to whoever listens: the log, Caddy's
// events, and later streams of them.
//
// Whoever publishes never waits for a listener. Each has a queue with a bound
// and is called by one goroutine, which lives while there is something to hear;
// events of one gate and of one tunnel come in their order. A listener that is
// too slow misses events, and is told how many. What it missed of gates is not
// lost: once it has heard its queue, it is told the switches and the state of
// those gates anew, from what is recorded ([Hub.Recall]).
//
// A listener may hang. The others go on, and so do the publishers. When a
// configuration comes, which may have brought another log, a listener that
// hangs is called anew by another goroutine ([Hub.Renew]).
//
// The hub of the process is one of wsgate's process-wide variables ([Default]).
package events
