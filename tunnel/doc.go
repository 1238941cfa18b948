// Package tunnel moves bytes and frames: one WebSocket connection on the
// client's side, one on the upstream's, and what lies between.
//
// # What happens to a byte
//
// A [Tunnel] is two flows, one for each direction. A flow reads from its source,
// runs the bytes past a tracker that knows where frames begin and end (RFC 6455
// §5.2), and writes them, unchanged, to its destination. Whoever has the flow's
// turn may write to the destination: the flow itself, or somebody who writes our
// close frame, which is done only where the tracker stands between two frames.
//
// A quiet flow is parked. Where it waits depends on its source:
//
//	TCP, Unix, TLS on one of these (Linux)   in a set; no goroutine, no buffer
//	another connection with a socket         in a goroutine, without a buffer
//	a stream that can only be read           in a goroutine, with a buffer
//
// The set's goroutine wakes a flow whose source has something. It reads, and
// writes what the destination takes at once. A goroutine of the flow, the pump, is
// there for the rest: a destination that does not take it, a destination that can
// only be written by waiting, and bulk, which is 128 KiB in large reads within
// 20 ms. It stays until the source is quiet again. Between two plain sockets the
// pump has the kernel move large frames (splice), and reads their headers in a
// copy of the pipe.
//
// The connections belong to package sock, which says what may be done with one,
// and by whom.
//
// # How it ends
//
// The end of a tunnel is a state machine ([end]): step takes a signal, and
// returns what is to be done. It has two halves, one for each direction:
//
//	open -- FIN of the source ------------> eof: the FIN is passed on
//	open -- close frame of the source ----> closeSeen: it passes like any frame
//	open -- we close ---------------------> queued: our close frame is to go
//	queued -- the tracker is at a boundary -> sent: nothing is forwarded any more
//	queued -- the source ended in a frame --> dropped: its FIN is passed on
//
// Both together decide what the tunnel waits for, and for how long:
//
//	state                                   waits for              then
//	both ended                                                     cut gently
//	one ended, the other is silent          the half-open limit    we close: 1001
//	one closed and ended                    10 s for the answer    cut
//	both closed                             10 s for their FINs    cut
//	we close                                both answers           cut gently
//	we close                                the deadline           cut
//	the upstream takes nothing              5 s for its end        lost
//	lost: the upstream broke off            we close: 1014, 5 s    cut
//	the client broke off                                           cut
//
// A gentle cut waits up to 5 s for a last frame that is on its way out; a cut
// tears away whoever still writes. Of several verdicts on who ended the tunnel
// the first one counts, except that of the half-open limit.
//
// The package knows neither HTTP nor Caddy nor gates. It imports the standard
// library and golang.org/x/sys, and holds nothing for the whole process but pools
// of buffers.
package tunnel
