package sock

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/wsgate/wsgate/tunnel/internal/alone"
)

// ordinary is an ordinary user, whom the kernel gives only so much of pipes
// (pipe-user-pages-soft, pipe(7)).
const ordinary = 54321

func TestOrdinaryUserGetsLargePipesOrNone(t *testing.T) {
	t.Parallel()
	if !alone.Run(t, nil) {
		return
	}
	if os.Getuid() == 0 {
		if err := errors.Join(syscall.Setgid(ordinary), syscall.Setuid(ordinary)); err != nil {
			t.Skip(err)
		}
	}
	var lent []Pipe
	for range maxLent {
		p, err := BorrowPipe()
		if err != nil {
			if !errors.Is(err, ErrNoPipe) {
				t.Fatal(err)
			}
			break
		}
		size, err := p.size()
		if err != nil || size < leastPipe {
			t.Fatalf("pipe %d has %d bytes (%v), want at least %d", len(lent), size, err, leastPipe)
		}
		lent = append(lent, p)
	}
	if len(lent) == 0 {
		t.Fatal("none")
	}
	if len(lent) < maxLent { // none is tried for a while
		if pipes.after.IsZero() {
			t.Error("the next one is tried at once")
		}
		if _, err := BorrowPipe(); !errors.Is(err, ErrNoPipe) {
			t.Errorf("one more: %v", err)
		}
	}
	for _, p := range lent {
		p.GiveBack()
	}
	if kept, out, stale := Kept(); kept != min(len(lent), maxFree) || out != 0 || stale != 0 {
		t.Errorf("%d kept, %d lent, %d bytes stale", kept, out, stale)
	}
	t.Logf("%d pipes", len(lent))
}

func TestPipesThatAreLentAreBounded(t *testing.T) {
	t.Parallel()
	if !alone.Run(t, nil) {
		return
	}
	var lent []Pipe
	for range maxLent {
		p, err := BorrowPipe()
		if err != nil {
			t.Skip(err) // somebody else has them
		}
		lent = append(lent, p)
	}
	if _, err := BorrowPipe(); !errors.Is(err, ErrNoPipe) {
		t.Errorf("one more than %d: %v", maxLent, err)
	}
	lent[0].Discard()
	if p, err := BorrowPipe(); err != nil {
		t.Error(err)
	} else {
		lent[0] = p
	}
	for _, p := range lent {
		p.Discard()
	}
	if kept, out, _ := Kept(); kept != 0 || out != 0 {
		t.Errorf("%d kept, %d lent", kept, out)
	}
}
