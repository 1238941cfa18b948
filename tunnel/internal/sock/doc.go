// Package sock has what touches a descriptor: the two connections of a tunnel,
// the sets in which quiet ones wait, the pipes through which the kernel moves
// bytes, and the dialler.
//
// # A Conn
//
// A [Conn] is one connection of a tunnel. It is of one of four kinds:
//
//   - [Plain]: a TCP or Unix socket. The Conn owns its descriptor.
//   - [Secured]: TLS on such a socket. The Conn owns the descriptor, and
//     crypto/tls reads and writes through it.
//   - [Layered]: a socket is there, but what lies above it is not known. It is
//     read and written as a net.Conn; its socket says when it is worth reading.
//   - [Opaque]: a stream that can only be read and written.
//
// Plain and Secured are there only where there is a [Set], which is on Linux.
// Their calls beginning with Try never wait. Their other calls wait in Go's
// poller, for which the Conn must be attached:
//
//	detached  -- Attach -->  attached  -- Detach -->  detached
//
// A detached Conn costs no net.Conn, and a packet that arrives on it wakes only
// its Set. An attached one has an os.File as well.
//
// # Rights
//
// A Conn does not lock its reads and writes. Whoever uses it has the right to
// read, or the right to write, and nobody else has the same one. Arm and
// Disarm belong to the right to read. Detach and Close need both. Attach, Abort
// and the deadlines may be called by anyone.
//
// # Process-wide
//
// The package holds the sets and the pipes that are not in use, both for as long
// as the process lives: the kernel's limits on them are those of a process, too.
package sock
