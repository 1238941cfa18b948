package tunnel

import (
	"fmt"
	"os"
	"strings"

	"github.com/wsgate/wsgate/tunnel/internal/sock"
)

func init() {
	holdings["descriptors"] = descriptors
	holdings["places in the sets"] = heldPlaces
	holdings["descriptors watched by an epoll instance"] = watched
	holdings["bytes in pipes that are kept"] = stale
}

// descriptors counts the sockets and pipes that are open, without the pipes that
// are kept for the next large frame. Epoll instances stay once they are there.
func descriptors() string {
	kept, lent, _ := sock.Kept()
	count := map[string]int{"pipe": -2 * kept}
	for name := range links() {
		kind, _, _ := strings.Cut(name, ":")
		count[kind]++
	}
	return fmt.Sprintf("%d sockets, %d ends of pipes, %d pipes lent", count["socket"], count["pipe"], lent)
}

// links has the descriptors of this process, by what they are.
func links() map[string]string {
	all := map[string]string{}
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if name, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			all[name+" "+e.Name()] = e.Name()
		}
	}
	return all
}

// watched counts what the epoll instances of this process watch: Go's own and the
// sets.
func watched() string {
	n := 0
	for name, fd := range links() {
		if strings.HasPrefix(name, "anon_inode:[eventpoll]") {
			info, _ := os.ReadFile("/proc/self/fdinfo/" + fd)
			n += strings.Count(string(info), "tfd:")
		}
	}
	return fmt.Sprint(n)
}

// stale counts what was left in pipes that the next frame will go through.
func stale() string {
	_, _, n := sock.Kept()
	return fmt.Sprint(n)
}
