package registry

import (
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// life tells this process from the one before: a tag of then is late.
var life = strconv.FormatInt(time.Now().UnixNano(), 36)

// versions counts what tags name. No two states of any gate or flag have the
// same: one that leaves and returns is another.
var versions atomic.Uint64

func nextVersion() uint64 { return versions.Add(1) }

func tag(version uint64) string {
	return `"` + life + "-" + strconv.FormatUint(version, 10) + `"`
}

// etag names the newest switch of a gate.
func (e *Entry) etag() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return tag(e.version)
}

// matches compares an If-Match header with the newest tag (RFC 9110 §13.1.1):
// a list, or * for anything; weak tags never match.
func matches(header, newest string) bool {
	for part := range strings.SplitSeq(header, ",") {
		if part = strings.TrimSpace(part); part == "*" || part == newest {
			return true
		}
	}
	return false
}
