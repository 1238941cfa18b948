package tunnel

import "sync"

// bufferSize is what a pump borrows while it has something to move: one read's
// worth of a busy connection. A larger frame is left to the kernel where it
// can be.
const bufferSize = 32 << 10

type buffer [bufferSize]byte

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func borrow() *buffer { return buffers.Get().(*buffer) }

func (b *buffer) back() { buffers.Put(b) }
