package tunnel

import (
	"fmt"
	"io"
	"testing"
)

// BenchmarkRelay sends a message up and another down again, as an echo does.
func BenchmarkRelay(b *testing.B) {
	for _, client := range []struct {
		name string
		pair pair
	}{{"TCP", tcpPair}, {"TLS", tlsPair}} {
		for _, size := range []int{64, 4 << 10, 64 << 10} {
			b.Run(fmt.Sprintf("%s/%d", client.name, size), func(b *testing.B) { echo(b, client.pair, size) })
		}
	}
}

// echo sends messages of a size up and down.
func echo(b *testing.B, client pair, size int) {
	b.Helper()
	r := newRig(b, true, client, tcpPair)
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
}
