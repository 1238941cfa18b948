//go:build !unix

package tunnel

// canAwait: a source is waited for by reading it, with a buffer. A read that was
// ended to look for others would only be begun again.
const canAwait = false

// await is never called here.
func (*flow) await() error { return nil }
