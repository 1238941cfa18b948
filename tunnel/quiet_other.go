//go:build !unix

package tunnel

// tryRead reads as any connection does: it waits.
func (s *side) tryRead(p []byte) (int, error) { return s.conn.Read(p) }

// await returns at once: the read that follows waits.
func (*flow) await() error { return nil }
