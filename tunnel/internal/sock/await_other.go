//go:build !unix || aix

package sock

// canAwait: a source is waited for by reading it, with a buffer.
const canAwait = false

// Await is never called here.
func (*Conn) Await() error { return nil }
