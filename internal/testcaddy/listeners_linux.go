package testcaddy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// listening is the state of a socket that listens, in /proc/net/tcp.
const listening = "0A"

// sharedAddress returns an address on which two sockets of the process listen.
// That is so while one configuration replaces another: a connection may then
// reach the old one or the new one. Empty: there is no such address.
func (s *Server) sharedAddress() string {
	own := s.sockets()
	seen := make(map[string]bool)
	for _, table := range []string{"tcp", "tcp6"} {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", s.PID(), table)) // none: nobody listens there
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line) // sl local remote state … inode
			if len(f) < 10 || f[3] != listening || !own[f[9]] {
				continue
			}
			at := table + f[1]
			if seen[at] {
				return at
			}
			seen[at] = true
		}
	}
	return ""
}

// sockets returns the inodes of the process's sockets.
func (s *Server) sockets() map[string]bool {
	own := make(map[string]bool)
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.PID()))
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil { // else closed meanwhile
			own[strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")] = true
		}
	}
	return own
}
