package tunnel

// half is what one direction has met.
type half struct {
	eof        bool // the source sends nothing more
	closeSeen  bool // a whole close frame of the source has passed
	queued     bool // our close frame is still to go to the destination
	sent       bool // it has gone
	fin        bool // the end of the source is to be passed on, or was
	finRefused bool // the destination cannot end one direction alone
}

// answered reports whether nothing is to come from a direction's source, and
// nothing of ours is to go to its destination.
func (h *half) answered() bool { return !h.queued && (h.eof || h.closeSeen) }

// owes reports whether the direction's destination has been sent a close frame
// and has not answered: it is to find its connection open for that.
func (h *half) owes(other *half) bool {
	return (h.closeSeen || h.sent) && !other.closeSeen && !other.eof
}

// unspoken reports whether the end of the source is to end the tunnel: its
// destination cannot be told in another way, and has nothing to answer.
func (h *half) unspoken(other *half) bool {
	return h.finRefused && !h.queued && !h.owes(other)
}
