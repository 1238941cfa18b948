package sock

import (
	"net"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wsgate/wsgate/tunnel/internal/alone"
)

// ownNetwork begins the process in a network of its own, with a loopback.
func ownNetwork() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
}

func TestDialDoesNotMeetItself(t *testing.T) {
	t.Parallel()
	if !alone.Run(t, ownNetwork()) {
		return
	}
	up(t, "lo")
	// There is one port for connections, and it is the one they go to.
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40000"), 0); err != nil {
		t.Skip(err)
	}
	for _, to := range []string{"127.0.0.1:40000", "0.0.0.0:40000"} {
		c, _, err := Dial(t.Context(), new(net.Dialer), "tcp", to)
		if err == nil {
			t.Errorf("connected from %s to %s", c.LocalAddr(), c.RemoteAddr())
			_ = c.Close()
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:39999")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, _, err := Dial(t.Context(), new(net.Dialer), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}

// up has a network interface carry something.
func up(t *testing.T, name string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		t.Skip(err)
	}
}
