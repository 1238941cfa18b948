package tunnel

import (
	"fmt"
	"io"
	"testing"
)

// BenchmarkRelay sends a message up and another down again, as an echo does.
func BenchmarkRelay(b *testing.B) {
	for _, size := range []int{64, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			r := newRig(b, true, tcpPair, tcpPair)
			up := makeFrame(finBit|opBinary, make([]byte, size), true)
			down := makeFrame(finBit|opBinary, make([]byte, size), false)
			got := make([]byte, len(up))
			b.SetBytes(int64(len(up) + len(down)))
			b.ReportAllocs()
			for b.Loop() {
				r.write(r.client, up)
				if _, err := io.ReadFull(r.upstream, got); err != nil {
					b.Fatal(err)
				}
				r.write(r.upstream, down)
				if _, err := io.ReadFull(r.client, got[:len(down)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
