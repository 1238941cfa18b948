package registry

import (
	"strconv"
	"strings"
	"time"
)

// life names this process in records until it has a better name.
var life = strconv.FormatInt(time.Now().UnixNano(), 36)

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
