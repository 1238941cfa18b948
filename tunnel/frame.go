package tunnel

import "encoding/binary"

// Opcodes that the tracker knows (RFC 6455 §5.2).
const (
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
)

const (
	finBit      = 0x80
	maskBit     = 0x80
	opcodeBits  = 0x0f
	lengthBits  = 0x7f
	maxHeader   = 14  // 2 + 8 of length + 4 of masking key
	maxControl  = 125 // payload of a control frame (RFC 6455 §5.5)
	length16    = 126
	length64    = 127
	minHeader   = 2
	maskKeySize = 4
)

// tracker follows one direction of a WebSocket connection frame by frame. It
// stores at most a header; a length is a claim that only counts down, it sizes
// nothing. What is not a valid frame is followed all the same: its lengths
// are always defined.
type tracker struct {
	left   uint64 // of the payload
	header [maxHeader]byte
	have   uint8 // bytes of the header
	need   uint8 // its size as far as known; 0: not known yet
}

// boundary reports whether the tracker stands between two frames.
func (t *tracker) boundary() bool { return t.have == 0 && t.left == 0 }

// event is what a step of the tracker met.
type event uint8

const (
	noEvent event = iota
	frameEnd
	messageEnd
	closeEnd
)

// step takes bytes up to the end of a frame, or all there are, and returns how
// many. payload is the part of them that is payload.
func (t *tracker) step(p []byte) (n int, payload []byte, e event) {
	if t.left == 0 {
		n = t.takeHeader(p)
		if t.have < t.need || t.need == 0 {
			return n, nil, noEvent
		}
	}
	rest := p[n:]
	if uint64(len(rest)) > t.left {
		rest = rest[:t.left]
	}
	t.left -= uint64(len(rest))
	n += len(rest)
	if t.left > 0 {
		return n, rest, noEvent
	}
	return n, rest, t.end()
}

// skip takes n bytes of payload that were not looked at; n <= t.left.
func (t *tracker) skip(n int) event {
	t.left -= uint64(n)
	if t.left > 0 {
		return noEvent
	}
	return t.end()
}

// end closes a frame and says what it was.
func (t *tracker) end() event {
	fin, op := t.header[0]&finBit != 0, t.header[0]&opcodeBits
	t.have, t.need = 0, 0
	switch {
	case op == opClose:
		return closeEnd
	case fin && op <= opBinary:
		return messageEnd
	}
	return frameEnd
}

// takeHeader takes bytes of a header, and sets left when it is complete.
func (t *tracker) takeHeader(p []byte) (n int) {
	for t.have < minHeader && n < len(p) {
		t.header[t.have] = p[n]
		t.have++
		n++
	}
	if t.have < minHeader {
		return n
	}
	if t.need == 0 {
		t.need = headerSize(t.header[1])
	}
	c := copy(t.header[t.have:t.need], p[n:])
	t.have += uint8(c)
	n += c
	if t.have == t.need {
		t.left = t.length()
	}
	return n
}

// headerSize is a header's size by its second byte.
func headerSize(b byte) uint8 {
	size := uint8(minHeader)
	switch b & lengthBits {
	case length16:
		size += 2
	case length64:
		size += 8
	}
	if b&maskBit != 0 {
		size += maskKeySize
	}
	return size
}

// length is the payload length that a complete header claims.
func (t *tracker) length() uint64 {
	switch l := t.header[1] & lengthBits; l {
	case length16:
		return uint64(binary.BigEndian.Uint16(t.header[2:]))
	case length64:
		return binary.BigEndian.Uint64(t.header[2:])
	default:
		return uint64(l)
	}
}

// key is the masking key of the frame, if it is masked.
func (t *tracker) key() (key [maskKeySize]byte, masked bool) {
	if t.header[1]&maskBit == 0 {
		return key, false
	}
	size := headerSize(t.header[1])
	copy(key[:], t.header[size-maskKeySize:size])
	return key, true
}
