package sock

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/wsgate/wsgate/tunnel/internal/alone"
)

// limit bounds every step of a test.
const limit = 20 * time.Second

// TestMain fails when a test leaves something behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := alone.LeftOver("internal/sock"); left != "" && code == 0 {
		fmt.Println("left over:\n" + left)
		code = 1
	}
	os.Exit(code)
}
