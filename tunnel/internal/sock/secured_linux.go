package sock

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// secured is the net.Conn that crypto/tls has beneath a Secured connection, in
// place of the one that it was made with. Its calls never wait: a read that finds
// nothing returns ErrWait, which crypto/tls takes for a timeout, and what a write
// cannot send is kept until Flush. So TLS can be read and written by the set's
// goroutine, and its socket is in no poller but the set (docs/adr/0014).
type secured struct {
	tls  *tls.Conn
	conn *Conn // whose socket it is

	// Guarded by the right to read.
	held  []byte // what a wrapper had read ahead
	empty bool   // the socket had nothing more when it was last read

	pends atomic.Bool // there is something in pending

	mu      sync.Mutex // guards the fields below: TLS answers the peer from a read, too
	pending []byte
	rest    int   // bytes that the write under way has still to encrypt
	broke   error // what a write failed with
}

// maxPending is more than one write has, with the answers of TLS to its peer. A
// peer that asks for more of those without reading them is cut off.
const maxPending = 4 * BufferSize

var errAnswers = errors.New("the peer asks TLS for answers and does not read them")

// innerOffset is where a tls.Conn has its connection; ok is false where this
// version of Go keeps it in another way.
var innerOffset = sync.OnceValues(func() (offset uintptr, ok bool) {
	field, ok := reflect.TypeFor[tls.Conn]().FieldByName("conn")
	return field.Offset, ok && field.Type == reflect.TypeFor[net.Conn]()
})

// takeSecured puts a secured connection beneath TLS. False: nothing has changed.
func (c *Conn) takeSecured(conn *tls.Conn) bool {
	offset, ok := innerOffset()
	if !ok {
		return false
	}
	socket, held := unwrap(conn.NetConn())
	if socket == nil {
		return false
	}
	if c.fd = detach(socket); c.fd < 0 {
		return false
	}
	c.kind = Secured
	s := &secured{tls: conn, conn: c, held: held}
	c.layer = &layer{secured: s}
	*(*net.Conn)(unsafe.Add(unsafe.Pointer(conn), offset)) = s
	return true
}

// Read is called by crypto/tls with the right to read.
func (s *secured) Read(p []byte) (int, error) {
	if len(s.held) > 0 {
		n := copy(p, s.held)
		if s.held = s.held[n:]; len(s.held) == 0 {
			s.held = nil
		}
		return n, nil
	}
	if s.empty {
		return 0, ErrWait
	}
	n, errno := tryRead(s.conn.fd, p)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		s.empty = true
		return 0, ErrWait
	case errno != 0:
		return 0, os.NewSyscallError("read", errno)
	case n == 0:
		return 0, io.EOF
	}
	s.empty = n < len(p)
	return n, nil
}

// tryWrite encrypts and sends p, unless something is pending.
func (s *secured) tryWrite(p []byte) (int, error) {
	s.mu.Lock()
	if len(s.pending) > 0 {
		s.mu.Unlock()
		return 0, nil
	}
	s.rest = len(p)
	s.mu.Unlock()
	return s.tls.Write(p)
}

// Write is called by crypto/tls with a record, or several.
func (s *secured) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broke != nil {
		return 0, s.broke
	}
	more := s.rest > len(p)
	s.rest = max(0, s.rest-len(p))
	n := 0
	if len(s.pending) == 0 && len(p) > 0 {
		var errno unix.Errno
		if n, errno = trySend(s.conn.fd, p, more); errno != 0 && errno != unix.EAGAIN && errno != unix.EINTR {
			s.broke = os.NewSyscallError("write", errno)
			return 0, s.broke
		}
	}
	if n < len(p) {
		if len(s.pending)+len(p)-n > maxPending {
			s.broke = errAnswers
			return 0, s.broke
		}
		s.pending = append(s.pending, p[n:]...)
		s.pends.Store(true)
	}
	return len(p), nil
}

// flush sends what is pending. ErrWait: not all was taken.
func (s *secured) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.pending) > 0 {
		n, errno := trySend(s.conn.fd, s.pending, false)
		switch {
		case errno == unix.EAGAIN || errno == unix.EINTR:
			return ErrWait
		case errno != 0:
			s.broke = os.NewSyscallError("write", errno)
			return s.broke
		}
		s.pending = s.pending[n:]
	}
	s.pending = nil
	s.pends.Store(false)
	return nil
}

// failure is what a write failed with.
func (s *secured) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broke
}

// Close does nothing: the descriptor belongs to the Conn.
func (*secured) Close() error { return nil }

// LocalAddr and RemoteAddr are the addresses of the socket, as far as anyone asks.
func (*secured) LocalAddr() net.Addr { return new(net.TCPAddr) }

// RemoteAddr is the zero address.
func (*secured) RemoteAddr() net.Addr { return new(net.TCPAddr) }

// SetDeadline does nothing: no call waits.
func (*secured) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing: no call waits.
func (*secured) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing: no call waits.
func (*secured) SetWriteDeadline(time.Time) error { return nil }
