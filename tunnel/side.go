package tunnel

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// side is one connection of a tunnel. It is read and written through conn; if
// it is bare, by its descriptor, and conn is there only while a pump is
// (see bare_linux.go).
type side struct {
	conn stream // nil: bare, and nobody waits for it. Guarded by t.mu if bare
	fd   int32  // of the socket, -1 where unknown. Written before Start, and with both hands
	kind kind
	bare bool // set once by Start
}

// stream is what a pump needs of a connection.
type stream interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// kind is what can be done with a connection.
type kind uint8

const (
	// opaque: read and write, nothing else is known of it.
	opaque kind = iota
	// layered: something above a socket that may hold bytes back (TLS, PROXY
	// protocol). The socket says when it is worth reading.
	layered
	// plain: the socket itself.
	plain
)

// past is a deadline that is over.
var past = time.Unix(1, 0)

// errQuiet says that there is nothing to read just now.
var errQuiet = errors.New("nothing to read")

func newSide(conn net.Conn) side {
	s := side{conn: conn, fd: -1}
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn:
		s.kind = plain
	default:
		if beneath(conn) == nil {
			return s
		}
		s.kind = layered
	}
	raw, err := s.raw()
	if err != nil || raw.Control(func(fd uintptr) { s.fd = int32(fd) }) != nil {
		s.kind, s.fd = opaque, -1
	}
	return s
}

// beneath returns the socket below a connection, nil where unknown.
func beneath(conn net.Conn) net.Conn {
	for {
		switch c := conn.(type) {
		case *net.TCPConn, *net.UnixConn:
			return c
		case interface{ NetConn() net.Conn }: // crypto/tls and what follows it
			conn = c.NetConn()
		case interface{ Raw() net.Conn }: // PROXY protocol
			conn = c.Raw()
		default:
			return nil
		}
	}
}

// raw gives access to the socket.
func (s *side) raw() (syscall.RawConn, error) {
	c, ok := s.conn.(syscall.Conn)
	if conn, layers := s.conn.(net.Conn); layers {
		c, ok = beneath(conn).(syscall.Conn)
	}
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return c.SyscallConn()
}

// write writes all, in segments as large as they can be: without a word each
// record would make some of its own.
func (s *side) write(p []byte) (int, error) {
	if s.kind != layered || len(p) <= recordSize {
		return s.conn.Write(p)
	}
	s.cork(true)
	defer s.cork(false)
	return s.conn.Write(p)
}

// closeWrite ends what is written. False: the connection cannot end one
// direction alone.
func (s *side) closeWrite() bool {
	if s.bare {
		shutdown(s.fd)
		return true
	}
	if _, file := s.conn.(*os.File); file {
		shutdown(s.fd)
		return true
	}
	c, ok := s.conn.(interface{ CloseWrite() error })
	if !ok && s.kind == layered { // PROXY protocol, which adds nothing to what is written
		c, ok = beneath(s.conn.(net.Conn)).(interface{ CloseWrite() error })
	}
	if !ok {
		return false
	}
	_ = c.CloseWrite() // a peer that is gone needs no FIN
	return true
}

// abort tears whoever reads away, and whoever still writes at the deadline.
func (s *side) abort(writes time.Time) {
	if s.conn != nil {
		_ = s.conn.SetReadDeadline(past)
		_ = s.conn.SetWriteDeadline(writes)
	}
}

// close ends the connection. TLS says goodbye only where the peer listens: it
// would wait for a peer that does not read.
func (s *side) close(gently bool) {
	if s.conn == nil {
		closeDescriptor(s.fd)
		return
	}
	if !gently {
		s.hangUp()
	}
	_ = s.conn.Close() // ends in any case
}

// hangUp closes the socket beneath layers, who would take their leave of the
// peer first. No set has it any more.
func (s *side) hangUp() {
	if s.kind == plain {
		return
	}
	if conn, ok := s.conn.(net.Conn); ok {
		if socket := beneath(conn); socket != nil {
			_ = socket.Close()
		}
	}
}

// deadline sets a read deadline, unless the tunnel is being cut: then the one
// that does it stays.
func (s *side) deadline(t *Tunnel, at time.Time) {
	_ = s.conn.SetReadDeadline(at)
	if t.cutting.Load() {
		_ = s.conn.SetReadDeadline(past)
	}
}

// isEnd reports whether a read error is a FIN.
func isEnd(err error) bool { return errors.Is(err, io.EOF) }
