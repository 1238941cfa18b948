package ledger

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestFlushTriesOnceWhatCouldNotBeStored(t *testing.T) {
	for name, tt := range map[string]struct {
		mended bool // before the exit
		pause  time.Duration
	}{
		"it is mended":             {true, 10 * time.Minute},
		"it still fails":           {false, 10 * time.Minute},
		"in the middle of a round": {true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *board, d *disk) {
				b.Bind(OnStorage(d))
				synctest.Wait()
				d.set(errors.New("disk is full"))
				keys := []string{"words/a", "words/b", "words/c"}
				for _, key := range []string{"a", "b", "c"} {
					b.say(t, key, "x")
				}
				time.Sleep(tt.pause)
				if tt.pause > 0 {
					synctest.Wait()
				}
				d.count("")
				if tt.mended {
					d.set(nil)
				}
				began := time.Now()
				b.Flush(t.Context())
				if took := time.Since(began); took > 2*flushPoll {
					t.Errorf("waited %s", took)
				}
				if left := b.Unstored(); tt.mended && len(left) > 0 || !tt.mended && !slices.Equal(left, keys) {
					t.Errorf("left: %q", left)
				}
				if n := d.count("load"); !tt.mended && n != 3 {
					t.Errorf("tried %d times", n)
				}
			})
		})
	}
}

func TestFlushWaitsForNothingThatHangs(t *testing.T) {
	for _, op := range []string{"load", "list", "store"} {
		bubble(t, func(t *testing.T, b *board, d *disk) {
			b.Bind(OnStorage(d))
			synctest.Wait()
			d.hang(func(what, _ string) bool { return what == op })
			for i := range 20 {
				b.say(t, fmt.Sprint(i), "x")
			}
			b.Bind(OnStorage(d))
			time.Sleep(time.Minute)
			began := time.Now()
			b.Flush(t.Context())
			if took := time.Since(began); took > flushPoll {
				t.Errorf("%s: waited %s", op, took)
			}
			if left := b.Unstored(); op != "list" && len(left) == 0 { // a list that hangs may come after all writes
				t.Errorf("%s: nothing is left", op)
			}
		})
	}
}

func TestHangingReadCostsARoundOneWait(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(d))
		synctest.Wait()
		d.hang(func(op, _ string) bool { return op == "load" })
		for i := range 20 {
			b.say(t, fmt.Sprint(i), "x")
		}
		began := time.Now()
		b.Flush(t.Context())
		if took := time.Since(began); took > hangsAfter+turnWait+flushPoll {
			t.Errorf("waited %s", took)
		}
		synctest.Wait()
		if reported := b.reported(); len(reported) != 20 {
			t.Errorf("%d are reported", len(reported))
		}
	})
}

func TestEndedRecordIsNotLost(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(d))
		if _, err := b.Put("words/a", ending("x", time.Now().Add(time.Minute)), "", time.Now()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		d.set(errors.New("full"))
		b.repeat(t, "none", "y")
		time.Sleep(2 * time.Minute)
		if left := b.Unstored(); !slices.Equal(left, []string{"words/none"}) {
			t.Errorf("left: %q", left)
		}
	})
}

func TestWaitForAStoredRecordGoesOnAfterAMove(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		d.put("words/a", fmt.Sprintf(`{"say":"x","seq":3,"by":"n2","v":1,"said_at":%q}`, time.Now().Format(time.RFC3339)))
		b.Bind(OnStorage(named{d, "old"}))
		synctest.Wait()
		d.hang(func(op, _ string) bool { return op == "store" })
		d.mu.Lock()
		clear(d.files)
		d.mu.Unlock()
		b.Bind(OnStorage(named{d, "old"})) // it is to be written again
		synctest.Wait()
		other := newDisk()
		other.put("words/a", `{"say":"x","seq":4,"by":"n2","v":1}`)
		other.hang(func(op, _ string) bool { return op == "list" })
		go func() {
			time.Sleep(time.Second)
			b.Bind(OnStorage(named{other, "new"}))
			time.Sleep(time.Second)
			other.hang(nil)
			other.release <- struct{}{}
		}()
		began := time.Now()
		if stored := b.AwaitStored(t.Context(), "words/a"); !stored || !b.Stored("words/a") || time.Since(began) != 2*time.Second {
			t.Errorf("stored %v after %s", stored, time.Since(began))
		}
	})
}
