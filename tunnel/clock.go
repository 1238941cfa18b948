package tunnel

import "time"

// past is a deadline that is over.
var past = time.Unix(1, 0)

// began is when this process began to count.
var began = time.Now()

// clock is a time that only goes forward, in nanoseconds; never zero.
func clock() int64 { return int64(time.Since(began)) + 1 }

// millis is the clock in milliseconds. It comes round after 49 days, which a
// difference of moments does not notice.
func millis() uint32 { return uint32(clock()/int64(time.Millisecond)) + 1 }
