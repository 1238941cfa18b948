package tunnel

// bulk lets the kernel move the rest of a large frame. The hand is held.
func (f *flow) bulk() error { return nil }
