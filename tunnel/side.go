package tunnel

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// side is one connection of a tunnel.
type side struct {
	conn net.Conn
	fd   int32 // of its socket, -1 where unknown
	kind kind
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
	c, ok := beneath(s.conn).(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return c.SyscallConn()
}

// closeWrite ends what is written. False: the connection cannot end one
// direction alone.
func (s *side) closeWrite() bool {
	c, ok := s.conn.(interface{ CloseWrite() error })
	if !ok {
		return false
	}
	_ = c.CloseWrite() // a peer that is gone needs no FIN
	return true
}

// abort tears whoever reads away, and whoever still writes at the deadline.
func (s *side) abort(writes time.Time) {
	_ = s.conn.SetReadDeadline(past)
	_ = s.conn.SetWriteDeadline(writes)
}

// close ends the connection. TLS says goodbye only where the peer listens: it
// would wait for a peer that does not read.
func (s *side) close(gently bool) {
	if socket := beneath(s.conn); !gently && socket != nil {
		_ = socket.Close()
	}
	_ = s.conn.Close() // ends in any case
}

// isEnd reports whether a read error is a FIN.
func isEnd(err error) bool { return errors.Is(err, io.EOF) }

// linger is how a pump waits where being parked and woken costs more than a
// goroutine that stays: for connections with layers. It lets go of a source
// that has been quiet for a while. The deadline is set once for many reads.
type linger struct{ armed, moved bool }

// quiet is how long, at least, a source with layers is quiet before it is parked.
const quiet = time.Second

// read reads, and waits. errQuiet: nothing came for a while, and no layer
// holds anything back, since a read has just asked them all.
func (l *linger) read(t *Tunnel, s *side, p []byte) (int, error) {
	for {
		if !l.armed {
			s.deadline(t, time.Now().Add(quiet))
			l.armed, l.moved = true, false
		}
		n, err := s.conn.Read(p)
		if n > 0 {
			l.moved = true
			return n, nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || t.cutting.Load() {
			return 0, err
		}
		if l.armed = false; !l.moved {
			s.deadline(t, time.Time{})
			return 0, errQuiet
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
