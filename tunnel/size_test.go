package tunnel

import (
	"testing"
	"unsafe"
)

// A tunnel that is idle holds this and nothing else: a million of them hold a
// million times as much.
func TestPromise9SizesOfAnIdleTunnel(t *testing.T) {
	t.Parallel()
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("sizes are those of 64 bits")
	}
	for what, size := range map[string][2]uintptr{
		"a flow":   {unsafe.Sizeof(flow{}), 88},
		"a tunnel": {unsafe.Sizeof(Tunnel{}), 368},
	} {
		if size[0] > size[1] {
			t.Errorf("%s has %d bytes, want at most %d", what, size[0], size[1])
		}
		t.Logf("%s: %d bytes", what, size[0])
	}
}
