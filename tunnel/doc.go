// Package tunnel moves bytes and frames: one WebSocket connection on the
// client's side, one on the upstream's, and what lies between.
//
// # What happens to a byte
//
// A [Tunnel] is two flows, one for each direction. Each flow reads from its
// source, runs the bytes past a tracker that knows where frames begin and end
// ([tracker], RFC 6455 §5.2), and writes them, unchanged, to its destination.
// Whoever writes to a destination holds the flow's hand: the flow itself, or
// somebody who has a close frame to put in, which is done only where the
// tracker stands between two frames.
//
// While a source is quiet, its flow is parked: on Linux in an epoll set of our
// own, without goroutine and without buffer; on other Unix systems in a
// goroutine that waits for the socket without a buffer. Elsewhere, and where
// there is no socket to be seen, a read waits with its buffer. A source that has
// something wakes its flow. What fits one buffer and is taken at once by the
// destination is moved by the set's own goroutine with two system calls;
// anything else (a slow reader, a large message, TLS, a close to be put in) goes
// to a goroutine of the flow, the pump, which lives until the source is quiet
// again. Large frames the pump lets the kernel move (splice), and reads only
// their headers, in a copy of the pipe that shares its pages.
//
// An upstream that [Dial] has connected waits in the set from its handshake on;
// a client's connection, and one that somebody else has made, comes out of
// Go's poller when its tunnel starts.
//
// # How it ends
//
// A FIN from one side becomes a FIN on the other, and the other direction goes
// on. A close frame of a peer is a frame like any other. A close of ours
// ([Tunnel.Close]) goes to both sides between two frames; after it nothing
// more is forwarded, the answers are waited for, and at the deadline the
// connections are cut. An upstream that breaks off is told to the client with
// 1014.
//
// The package knows neither HTTP nor Caddy nor gates. The standard library and
// golang.org/x/sys are all it imports.
package tunnel
