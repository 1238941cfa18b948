package registry

import (
	"strconv"
	"strings"
	"time"
)

// life tells this process from the one before: a tag of then is late.
var life = strconv.FormatInt(time.Now().UnixNano(), 36)

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
