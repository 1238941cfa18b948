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

func FuzzTracker(f *testing.F) {
	f.Add(append(text("hello", true), closeFrame(1000, "bye", false)...), uint8(3))
	f.Add([]byte{0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 9, 9, 9, 9, 42}, uint8(1))
	f.Fuzz(func(t *testing.T, stream []byte, size uint8) {
		var whole, pieces tracker
		for p := stream; len(p) > 0; {
			n, _, _ := whole.step(p)
			if n == 0 {
				t.Fatal("no progress")
			}
			p = p[n:]
		}
		split(stream, int(size)+1, func(p []byte) {
			for len(p) > 0 {
				n, _, _ := pieces.step(p)
				p = p[n:]
			}
		})
		if whole.left != pieces.left || whole.have != pieces.have || whole.boundary() != pieces.boundary() {
			t.Errorf("whole %+v, in pieces %+v", whole, pieces)
		}
	})
}

func FuzzClosePayload(f *testing.F) {
	f.Add([]byte{0x03, 0xe8, 'b', 'y', 'e'}, "reason")
	f.Fuzz(func(t *testing.T, payload []byte, reason string) {
		if _, text := parseClose(payload); !utf8.ValidString(text) {
			t.Errorf("%q", text)
		}
		if out := TrimReason(reason); len(out) > maxReason || !utf8.ValidString(out) {
			t.Errorf("%q becomes %q", reason, out)
		}
		if fr := closeFrame(1000, reason, true); len(fr) > 2+maskKeySize+maxControl {
			t.Errorf("%d bytes", len(fr))
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
