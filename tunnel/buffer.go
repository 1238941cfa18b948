package tunnel

import (
	"sync"

	"github.com/wsgate/wsgate/tunnel/internal/sock"
)

const (
	// smallSize is what a pump begins with, until a read fills it.
	smallSize = 4 << 10
	// plainSize is what a busy pump borrows between two plain connections: a
	// larger frame is left to the kernel.
	plainSize = 32 << 10
	// bufferSize is what it borrows where TLS is, and the most that is read at
	// once.
	bufferSize = sock.BufferSize
)

var (
	smalls  = sync.Pool{New: func() any { return new([smallSize]byte) }}
	plains  = sync.Pool{New: func() any { return new([plainSize]byte) }}
	buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}
)

// borrow returns a buffer for at least n bytes, of which there are at most
// bufferSize.
func borrow(n int) []byte {
	switch {
	case n <= smallSize:
		return smalls.Get().(*[smallSize]byte)[:]
	case n <= plainSize:
		return plains.Get().(*[plainSize]byte)[:]
	}
	return buffers.Get().(*[bufferSize]byte)[:]
}

func giveBack(b []byte) {
	switch len(b) {
	case smallSize:
		smalls.Put((*[smallSize]byte)(b))
	case plainSize:
		plains.Put((*[plainSize]byte)(b))
	default:
		buffers.Put((*[bufferSize]byte)(b))
	}
}
