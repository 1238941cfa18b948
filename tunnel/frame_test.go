package tunnel

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"unicode/utf8"
)

// makeFrame returns one frame; a masked one has a key that is not zero.
func makeFrame(first byte, payload []byte, masked bool) []byte {
	head := []byte{first}
	bit := byte(0)
	if masked {
		bit = maskBit
	}
	switch n := len(payload); {
	case n < length16:
		head = append(head, bit|byte(n))
	case n < 1<<16:
		head = binary.BigEndian.AppendUint16(append(head, bit|length16), uint16(n))
	default:
		head = binary.BigEndian.AppendUint64(append(head, bit|length64), uint64(n))
	}
	body := bytes.Clone(payload)
	if masked {
		key := [maskKeySize]byte{1, 2, 3, 4}
		head = append(head, key[:]...)
		mask(body, key)
	}
	return append(head, body...)
}

func text(s string, masked bool) []byte { return makeFrame(finBit|opText, []byte(s), masked) }

// split calls f with p in pieces of n bytes.
func split(p []byte, n int, f func([]byte)) {
	for len(p) > 0 {
		k := min(n, len(p))
		f(p[:k])
		p = p[k:]
	}
}

func TestTrackerFindsEveryBoundaryHoweverFramesAreSplit(t *testing.T) {
	frames := [][]byte{
		text("", false), text("hello", true), makeFrame(opText, []byte("first half"), false),
		makeFrame(finBit, []byte("second half"), false), makeFrame(finBit|0x9, []byte("ping"), true),
		makeFrame(finBit|opBinary, bytes.Repeat([]byte("x"), 126), true), makeFrame(finBit|opBinary, bytes.Repeat([]byte("y"), 70_000), false),
		makeFrame(0xf3, []byte("reserved bits and opcode"), true), closeFrame(1001, "bye", true), text("after the close", false),
	}
	stream := bytes.Join(frames, nil)
	for _, size := range []int{1, 2, 3, 7, 64, 1 << 20} {
		var tr tracker
		var ends []int
		at, messages, closes := 0, 0, 0
		split(stream, size, func(p []byte) {
			for len(p) > 0 {
				n, _, e := tr.step(p)
				p, at = p[n:], at+n
				switch e {
				case messageEnd:
					messages++
				case closeEnd:
					closes++
				}
				if tr.boundary() {
					ends = append(ends, at)
				}
			}
		})
		want := 0
		for i, f := range frames {
			if want += len(f); i >= len(ends) || ends[i] != want {
				t.Fatalf("pieces of %d: boundaries %v, want frame %d to end at %d", size, ends, i, want)
			}
		}
		if messages != 6 || closes != 1 || len(ends) != len(frames) {
			t.Errorf("pieces of %d: %d messages, %d closes, %d frames", size, messages, closes, len(ends))
		}
	}
}

func TestLengthIsAClaimThatSizesNothing(t *testing.T) {
	var tr tracker
	head := []byte{finBit | opBinary, length64, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	if n, _, e := tr.step(head); n != len(head) || e != noEvent || tr.left != 1<<64-1 {
		t.Errorf("took %d, left %d", n, tr.left)
	}
	if n := testing.AllocsPerRun(10, func() { tr.step([]byte("payload")) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestCloseFrameRoundTrip(t *testing.T) {
	for _, masked := range []bool{false, true} {
		for _, reason := range []string{"", "closed for the night", strings.Repeat("ä", 100)} {
			f := closeFrame(1013, reason, masked)
			var tr tracker
			n, payload, e := tr.step(f)
			if n != len(f) || e != closeEnd {
				t.Fatalf("step: %d of %d, %v", n, len(f), e)
			}
			payload = bytes.Clone(payload)
			if key, isMasked := tr.key(); isMasked != masked {
				t.Errorf("masked %v", isMasked)
			} else if masked {
				mask(payload, key)
			}
			code, got := parseClose(payload)
			if code != 1013 || got != TrimReason(reason) || len(payload) > maxControl {
				t.Errorf("got %d %q", code, got)
			}
		}
	}
}

func TestReasonIsCutAtACharacter(t *testing.T) {
	for in, want := range map[string]string{
		"short":                        "short",
		strings.Repeat("x", 124):       strings.Repeat("x", 123),
		strings.Repeat("ä", 62):        strings.Repeat("ä", 61),
		strings.Repeat("日", 50):        strings.Repeat("日", 41),
		"not \xff UTF-8":               "not \uFFFD UTF-8",
		strings.Repeat("x", 121) + "日": strings.Repeat("x", 121),
	} {
		if got := TrimReason(in); got != want {
			t.Errorf("%q: got %q (%d bytes)", in, got, len(got))
		}
	}
}

func TestCloseCodes(t *testing.T) {
	for code, want := range map[int]bool{
		999: false, 1000: true, 1003: true, 1004: false, 1005: false, 1006: false, 1007: true, 1012: true, 1014: true,
		1015: false, 1016: false, 2999: false, 3000: true, 4999: true, 5000: false, -1: false,
	} {
		if ValidCloseCode(code) != want {
			t.Errorf("%d: valid %v", code, !want)
		}
	}
}

func TestCloseWithoutCode(t *testing.T) {
	if code, reason := parseClose(nil); code != codeNoStatus || reason != "" {
		t.Errorf("got %d %q", code, reason)
	}
	if code, reason := parseClose([]byte{0x03, 0xe8, 0xff}); code != 1000 || reason != "" {
		t.Errorf("a reason that is no UTF-8: %d %q", code, reason)
	}
}

// frame is a frame of a stream as RFC 6455 §5.2 draws it.
type frame struct {
	end     int // where it ends in the stream, or would
	whole   bool
	head    []byte // what there is of it
	payload []byte // likewise, as it is on the wire
	claims  uint64 // the length, once the header is whole
	key     []byte // nil: not masked
}

// framesOf reads a stream in one go and in other words than the tracker, for
// tests to compare with.
func framesOf(stream []byte) (all []frame) {
	for at := 0; at < len(stream); {
		p, f, size := stream[at:], frame{}, 2
		if len(p) > 1 {
			extended := map[byte]int{126: 2, 127: 8}[p[1]%128]
			size += extended
			f.claims = uint64(p[1] % 128)
			if extended > 0 && len(p) >= size {
				f.claims = 0
				for _, b := range p[2:size] {
					f.claims = f.claims*256 + uint64(b)
				}
			}
			if p[1] >= 128 {
				if size += 4; len(p) >= size {
					f.key = p[size-4 : size]
				}
			}
		}
		if f.head = p[:min(size, len(p))]; len(p) >= size {
			rest := p[size:]
			f.whole = uint64(len(rest)) >= f.claims
			f.payload = rest[:min(uint64(len(rest)), f.claims)]
		}
		at += len(f.head) + len(f.payload)
		f.end = at
		all = append(all, f)
	}
	return all
}

// event is what the tracker is to say at the frame's end.
func (f frame) event() event {
	fin, op := f.head[0] >= 128, f.head[0]%16
	switch {
	case op == 8:
		return closeEnd
	case fin && op < 3: // text, binary, or the rest of one
		return messageEnd
	}
	return frameEnd
}

// FuzzTracker takes any bytes in any pieces, with payloads looked at or skipped.
// Every frame ends where it does when the stream is read in one go, and is what
// it is there.
func FuzzTracker(f *testing.F) {
	f.Add(append(text("hello", true), closeFrame(1000, "bye", false)...), uint8(3), false)
	f.Add([]byte{0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 9, 9, 9, 9, 42}, uint8(1), true)
	f.Fuzz(func(t *testing.T, stream []byte, size uint8, skips bool) {
		want := framesOf(stream)
		var tr tracker
		var payload []byte
		at := 0
		split(stream, int(size)+1, func(p []byte) {
			for len(p) > 0 {
				var n int
				var part []byte
				var e event
				switch {
				case !skips:
					n, part, e = tr.step(p)
				case tr.left > 0:
					n = int(min(tr.left, uint64(len(p))))
					part, e = p[:n], tr.skip(n)
				default:
					n, part, e = tr.step(p[:1])
				}
				if n == 0 {
					t.Fatalf("no progress at %d", at)
				}
				p, at, payload = p[n:], at+n, append(payload, part...)
				if tr.boundary() != (e != noEvent) {
					t.Fatalf("event %d at %d, at a boundary: %v", e, at, tr.boundary())
				}
				if e == noEvent {
					continue
				}
				key, masked := tr.key()
				if w := want[0]; !w.whole || at != w.end || e != w.event() || tr.header[0] != w.head[0] || !bytes.Equal(payload, w.payload) ||
					masked != (w.key != nil) || masked && !bytes.Equal(key[:], w.key) {
					t.Fatalf("at %d event %d, first byte %x, key %x %v, payload %x; want %+v", at, e, tr.header[0], key, masked, payload, w)
				}
				want, payload = want[1:], nil
			}
		})
		if len(want) == 0 {
			return
		}
		w, left := want[0], uint64(0) // a frame that is not all there
		if w.payload != nil {
			left = w.claims - uint64(len(w.payload))
		}
		if len(want) > 1 || w.whole || int(tr.have) != len(w.head) || tr.left != left || !bytes.Equal(payload, w.payload) {
			t.Errorf("in the end %+v, payload %x; want %+v", tr, payload, want)
		}
	})
}

// FuzzClosePayload reads any payload of a close frame, and writes a close frame
// of any code and reason.
func FuzzClosePayload(f *testing.F) {
	f.Add([]byte{0x03, 0xe8, 'b', 'y', 'e'}, uint16(1000), "reason")
	f.Fuzz(func(t *testing.T, payload []byte, code uint16, reason string) {
		wantCode, wantText := 1005, "" // RFC 6455 §7.1.5
		if len(payload) > 1 {
			wantCode = int(payload[0])*256 + int(payload[1])
			wantText = string(payload[2:])
		}
		if !utf8.ValidString(wantText) {
			wantText = ""
		}
		if got, text := parseClose(payload); int(got) != wantCode || text != wantText {
			t.Errorf("%x: got %d %q, want %d %q", payload, got, text, wantCode, wantText)
		}

		kept, whole := TrimReason(reason), strings.ToValidUTF8(reason, "\uFFFD")
		rest, begins := strings.CutPrefix(whole, kept)
		_, next := utf8.DecodeRuneInString(rest)
		if !begins || len(kept) > 123 || !utf8.ValidString(kept) || rest != "" && len(kept)+next <= 123 {
			t.Errorf("%q becomes %q", reason, kept)
		}

		for _, masked := range []bool{false, true} {
			all := framesOf(closeFrame(code, reason, masked))
			if len(all) != 1 || !all[0].whole || all[0].head[0] != 0x88 || all[0].claims > 125 || masked != (all[0].key != nil) {
				t.Fatalf("masked %v: %+v", masked, all)
			}
			body := []byte{byte(code >> 8), byte(code)}
			body = append(body, kept...)
			for i := range body {
				if masked {
					body[i] ^= all[0].key[i%4] // RFC 6455 §5.3
				}
			}
			if !bytes.Equal(all[0].payload, body) {
				t.Errorf("masked %v: payload %x, want %x", masked, all[0].payload, body)
			}
		}
	})
}

func BenchmarkTracker(b *testing.B) {
	stream := bytes.Repeat(text(strings.Repeat("x", 64), true), 16)
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	var tr tracker
	for b.Loop() {
		for p := stream; len(p) > 0; {
			n, _, _ := tr.step(p)
			p = p[n:]
		}
	}
}
