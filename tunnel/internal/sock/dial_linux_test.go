package sock

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// full is an address that does not answer: its queue of connections is full.
func full(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	own, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: own.(*unix.SockaddrInet4).Port}).String()
	for { // one more than the queue holds does not get through
		c, err := net.DialTimeout("tcp", address, 100*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { _ = c.Close() })
	}
}

func TestDialEndsWithItsTimeItsContextOrItsConnection(t *testing.T) {
	t.Parallel()
	silent := full(t)
	ended, end := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, end)
	began := time.Now()
	for what, dial := range map[string]func() error{
		"timeout": func() error {
			_, _, err := Dial(t.Context(), &net.Dialer{Timeout: 50 * time.Millisecond}, "tcp", silent)
			return err
		},
		"deadline": func() error {
			_, _, err := Dial(t.Context(), &net.Dialer{Deadline: time.Now().Add(50 * time.Millisecond)}, "tcp", silent)
			return err
		},
		"context": func() error {
			_, _, err := Dial(ended, new(net.Dialer), "tcp", silent)
			return err
		},
	} {
		err := dial()
		var late net.Error
		if !errors.As(err, &late) || !late.Timeout() || !strings.Contains(err.Error(), "dial tcp "+silent) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if took := time.Since(began); took > limit/2 {
		t.Errorf("it took %s", took)
	}
}

func TestDialSaysWhyItFailed(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := ln.Addr().String()
	_ = ln.Close()
	_, _, err = Dial(t.Context(), new(net.Dialer), "tcp", nobody)
	_, want := new(net.Dialer).DialContext(t.Context(), "tcp", nobody)
	if err == nil || err.Error() != want.Error() || !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("got %v, want %v as net has it", err, want)
	}
	if _, _, err = Dial(t.Context(), new(net.Dialer), "tcp", "no port"); err == nil {
		t.Error("an address without a port is none")
	}
}

// dialledPair returns a connection of Dial, its other end, and what frees it.
func dialledPair(t *testing.T, ctx context.Context, d *net.Dialer) (near *dialled, far *net.TCPConn, free func() bool) {
	t.Helper()
	ln, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, free, err := Dial(ctx, d, "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	f, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return c.(*dialled), f.(*net.TCPConn), free
}

func TestDialledConnectionWaitsAndIsEnded(t *testing.T) {
	t.Parallel()
	for what, end := range map[string]struct {
		by   func(s *dialled, leave func())
		want error
	}{
		"deadline that comes":   {func(s *dialled, _ func()) { _ = s.SetDeadline(time.Now().Add(30 * time.Millisecond)) }, os.ErrDeadlineExceeded},
		"deadline that is over": {func(s *dialled, _ func()) { _ = s.SetReadDeadline(past) }, os.ErrDeadlineExceeded},
		"close":                 {func(s *dialled, _ func()) { _ = s.Close() }, net.ErrClosed},
		"context":               {func(_ *dialled, leave func()) { leave() }, os.ErrDeadlineExceeded},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			s, far, free := dialledPair(t, ctx, new(net.Dialer))
			read := make(chan error)
			go func() {
				_, err := io.ReadFull(s, make([]byte, 2))
				read <- err
			}()
			if _, err := far.Write([]byte("x")); err != nil { // one byte is not enough
				t.Fatal(err)
			}
			time.AfterFunc(20*time.Millisecond, func() { end.by(s, leave) })
			if err := <-read; !errors.Is(err, end.want) {
				t.Errorf("reading ended with %v", err)
			}
			if _, err := s.Write([]byte("x")); !errors.Is(err, end.want) {
				t.Errorf("writing ends with %v", err)
			}
			if free() == (what == "context") {
				t.Errorf("free says %t", what != "context")
			}
		})
	}
}

func TestDialledConnectionWritesAllToASlowReader(t *testing.T) {
	t.Parallel()
	s, far, free := dialledPair(t, t.Context(), new(net.Dialer))
	if !free() {
		t.Error("nothing has ended it")
	}
	p := bytes.Repeat([]byte("0123456789a"), 1<<20)
	done := make(chan error)
	go func() {
		_, err := s.Write(p)
		done <- errors.Join(err, s.Close())
	}()
	got, err := io.ReadAll(far)
	if err := errors.Join(err, <-done); err != nil || string(got) != string(p) {
		t.Errorf("%d bytes of %d arrived, %v", len(got), len(p), err)
	}
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading what is closed: %v", err)
	}
}

func TestPromise7DialledConnectionIsKeptAlive(t *testing.T) {
	t.Parallel()
	s, far, _ := dialledPair(t, t.Context(), &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Interval: 30 * time.Second, Count: 5}})
	if s.RemoteAddr().String() != far.LocalAddr().String() || s.LocalAddr().String() != far.RemoteAddr().String() {
		t.Errorf("it goes from %s to %s", s.LocalAddr(), s.RemoteAddr())
	}
	for what, o := range map[string]struct{ level, name, want int }{
		"TCP_NODELAY":   {unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		"SO_KEEPALIVE":  {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		"TCP_KEEPIDLE":  {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
		"TCP_KEEPINTVL": {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 30},
		"TCP_KEEPCNT":   {unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 5},
	} {
		if got, err := unix.GetsockoptInt(int(s.conn.fd), o.level, o.name); err != nil || got != o.want {
			t.Errorf("%s is %d (%v), want %d", what, got, err, o.want)
		}
	}
	_ = s.Close()
	if s.LocalAddr().(*net.TCPAddr) != nil {
		t.Error("a closed connection has no address of its own")
	}
}

func TestDialledConnectionIsGivenBackOnceByTheLastWhoUsesIt(t *testing.T) {
	t.Parallel()
	for what, end := range map[string]func(s *dialled) (giveBack func()){
		"closed": func(s *dialled) func() {
			_ = s.Close()
			return s.done
		},
		"handed over": func(s *dialled) func() {
			fd, slot := s.release()
			s.done()
			return func() {
				s.conn.set.places.free(slot)
				closeDescriptor(fd)
			}
		},
	} {
		s, far, _ := dialledPair(t, t.Context(), new(net.Dialer))
		_ = far.SetDeadline(time.Now().Add(limit))
		_, _ = far.Write([]byte("x"))
		if _, err := s.Read(make([]byte, 1)); err != nil { // it has a place in the set now
			t.Fatal(err)
		}
		if err := s.use(); err != nil { // as another Read
			t.Fatal(err)
		}
		_ = s.LocalAddr()
		giveBack := end(s)
		_, _ = tryWrite(s.conn.fd, []byte("y"))
		if n, err := far.Read(make([]byte, 2)); n != 1 || err != nil {
			t.Errorf("%s: it was given back under somebody who uses it: %v", what, err)
		}
		giveBack()
		if n, err := far.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("%s: it was not given back: %d bytes, %v", what, n, err)
		}
	}
}
