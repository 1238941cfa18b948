package tunnel

import "sync"

const (
	// smallSize is what a pump begins with, until a read fills it: thousands of
	// pumps may wait a little for more after one small message each.
	smallSize = 4 << 10
	// bufferSize is what a busy pump borrows. A larger frame is left to the
	// kernel where it can be.
	bufferSize = 32 << 10
	// recordsSize is what it borrows where there are layers, which take and give
	// a record at a time: what there is of four goes on at once.
	recordsSize = 4 * recordSize

	// recordSize is how much a TLS record carries, and recordMore what it takes
	// besides without padding (RFC 8446 §5.1, §5.2).
	recordSize = 16 << 10
	recordMore = 5 + 1 + 16
)

var (
	smalls  = sync.Pool{New: func() any { return new([smallSize]byte) }}
	buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}
	records = sync.Pool{New: func() any { return new([recordsSize]byte) }}
)

// borrow returns a buffer for at least n bytes, of which there are at most
// recordsSize.
func borrow(n int) []byte {
	switch {
	case n <= smallSize:
		return smalls.Get().(*[smallSize]byte)[:]
	case n <= bufferSize:
		return buffers.Get().(*[bufferSize]byte)[:]
	}
	return records.Get().(*[recordsSize]byte)[:]
}

func giveBack(b []byte) {
	switch len(b) {
	case smallSize:
		smalls.Put((*[smallSize]byte)(b))
	case bufferSize:
		buffers.Put((*[bufferSize]byte)(b))
	default:
		records.Put((*[recordsSize]byte)(b))
	}
}
