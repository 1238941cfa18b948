package registry

import (
	"strconv"
	"strings"
	"time"
)

// processName names this process in records until the name of the node is
// known.
var processName = strconv.FormatInt(time.Now().UnixNano(), 36)

// matches compares an If-Match header with the newest tag (RFC 9110 §13.1.1).
// The header is a list, or * for any tag. Weak tags never match.
func matches(header, newest string) bool {
	for part := range strings.SplitSeq(header, ",") {
		if part = strings.TrimSpace(part); part == "*" || part == newest {
			return true
		}
	}
	return false
}
