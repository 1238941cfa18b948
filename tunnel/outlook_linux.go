package tunnel

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// maxOutlook is how many frames are looked at before they are moved.
const maxOutlook = 16

// outlook is what was seen of the frames that lie in a socket behind the one
// that is passing: their headers, large data frames only.
type outlook struct {
	headers [maxOutlook]tracker // complete ones
	first   int                 // not passed yet
	count   int
	done    int    // bytes of the first header that have passed
	bytes   uint64 // of all of them, payloads included
}

// canLook: Linux looks into a TCP socket at an offset since 6.9.
var canLook atomic.Bool

func init() { canLook.Store(true) }

// sight is what came of looking for a header.
type sight uint8

const (
	// unseen: nothing is there yet.
	unseen sight = iota
	// large is a data frame that the kernel is to move.
	large
	// other is anything else, the end included.
	other
)

// look sees as many frames as there are behind the one that passes, of which
// left bytes are to come, and behind those that were seen before.
func (o *outlook) look(fd int32, left uint64) {
	if !canLook.Load() || left+o.bytes >= pipeSize {
		return
	}
	for o.count < maxOutlook && left+o.bytes < pipeSize && o.see(fd, left+o.bytes) == large {
	}
	_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PEEK_OFF, -1) // off again
}

// see looks for the header of a frame at an offset from what is read next.
func (o *outlook) see(fd int32, offset uint64) sight {
	var head [maxHeader]byte
	if offset > 0 {
		if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PEEK_OFF, int(offset)); err != nil {
			canLook.Store(false)
			return other
		}
	}
	n, _, err := unix.Recvfrom(int(fd), head[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	switch {
	case err != nil && offset == 0 && n < 0:
		return unseen
	case n <= 0:
		return other
	}
	t := &o.headers[o.count]
	*t = tracker{}
	size := t.takeHeader(head[:n])
	if t.left < spliceMin || t.header[0]&opcodeBits > opBinary {
		return other
	}
	o.count++
	o.bytes += uint64(size) + t.left
	return large
}

// head is what is left of the first header.
func (o *outlook) head() []byte {
	t := &o.headers[o.first]
	return t.header[o.done:t.need]
}

// drop forgets bytes of the first header that have passed; payload is what
// follows it when they were the last.
func (o *outlook) drop(n int, payload uint64) {
	o.bytes -= uint64(n)
	if o.done += n; o.done < int(o.headers[o.first].need) {
		return
	}
	o.bytes -= payload
	o.first, o.done = o.first+1, 0
}
