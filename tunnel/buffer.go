package tunnel

import "sync"

const (
	// bufferSize is what a busy pump borrows: one read's worth. A larger frame
	// is left to the kernel where it can be.
	bufferSize = 32 << 10
	// smallSize is what a pump begins with, until a read fills it: thousands of
	// pumps may wait a little for more after one small message each.
	smallSize = 4 << 10
)

var (
	buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}
	smalls  = sync.Pool{New: func() any { return new([smallSize]byte) }}
)

// borrow returns a buffer for at least n bytes, of which there are at most
// bufferSize.
func borrow(n int) []byte {
	if n <= smallSize {
		return smalls.Get().(*[smallSize]byte)[:]
	}
	return buffers.Get().(*[bufferSize]byte)[:]
}

func giveBack(b []byte) {
	if len(b) == smallSize {
		smalls.Put((*[smallSize]byte)(b))
		return
	}
	buffers.Put((*[bufferSize]byte)(b))
}
