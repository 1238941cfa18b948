package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Which number a record gets, at the edges.

// timed is the number of a record that replaces one whose number nobody knows:
// the milliseconds since 1970, in a bubble, whose clock begins with 2000.
const timed = 946684800000

func TestNumbersOfRecordsPutBeforeThePlaceWasRead(t *testing.T) {
	for name, tt := range map[string]struct {
		there string
		seq   uint64
	}{
		"nothing is there":               {"", 2},
		"an earlier one":                 {`{"say":"x","seq":1,"by":"n2","v":1}`, 2},
		"one with the same number":       {`{"say":"x","seq":2,"by":"n2","v":1}`, 3},
		"a later one":                    {`{"say":"x","seq":7,"by":"n2","v":1}`, 8},
		"an earlier one that is broken":  {`{"say":"x","seq":1,"by":"n2","v":9}`, 2},
		"one that is broken, as late":    {`{"say":"x","seq":2,"by":"n2","v":9}`, 3},
		"a later one that is broken":     {`{"say":"x","seq":7,"by":"n2","v":9}`, 8},
		"one without a number":           {`{"say":"x"}`, 2},
		"one that is no record at all":   {`hello`, timed},
		"one whose number is too high":   {`{"say":"x","seq":4503599627370496,"by":"n2","v":1}`, timed},
		"one with the highest number":    {`{"say":"x","seq":4503599627370495,"by":"n2","v":1}`, 4503599627370495},
		"one that is of a negative kind": {`{"say":"x","seq":7,"by":"n2","v":-1}`, 8},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *board, d *disk) {
				if tt.there != "" {
					d.put("words/a", tt.there)
				}
				b.say(t, "a", "first")
				b.say(t, "a", "mine")
				b.Bind(OnStorage(d))
				synctest.Wait()
				r, _ := b.Get("words/a")
				if f := stored(t, d, "a"); r.Seq != tt.seq || f["say"] != "mine" || f["seq"] != float64(tt.seq) || !b.Stored("words/a") {
					t.Errorf("in force with the number %d, there %v, stored %v", r.Seq, f, b.Stored("words/a"))
				}
			})
		})
	}
}

func TestNumbersOfRecordsPutWhereAnotherNodeHasWritten(t *testing.T) {
	for name, tt := range map[string]struct {
		there string
		seq   uint64
	}{
		"an older wsgate":            {`{"say":"x"}`, 2},
		"an earlier one":             {`{"say":"x","seq":1,"by":"n2","v":1}`, 2},
		"the same number":            {`{"say":"x","seq":2,"by":"n0","v":1}`, 3},
		"a later one":                {`{"say":"x","seq":5,"by":"n2","v":1}`, 6},
		"a later one of a later one": {`{"say":"x","seq":5,"by":"n2","v":9}`, 6},
		"no record":                  {`hello`, timed},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *board, d *disk) {
				b.Bind(OnStorage(d))
				b.say(t, "a", "first")
				synctest.Wait()
				d.put("words/a", tt.there)
				b.changed()
				b.say(t, "a", "mine")
				synctest.Wait()
				r, _ := b.Get("words/a")
				if f := stored(t, d, "a"); r.Seq != tt.seq || f["say"] != "mine" || f["seq"] != float64(tt.seq) {
					t.Errorf("in force with the number %d, there %v", r.Seq, f)
				}
				if notified := len(b.changed()) > 0; notified != (tt.seq > 2) {
					t.Errorf("watchers called: %v", notified)
				}
			})
		})
	}
}

func TestRecordOfExactlyADayIsWrittenAgain(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		d.put("words/a", fmt.Sprintf(`{"say":"x","seq":3,"by":"n2","v":1,"said_at":%q}`, time.Now().Add(-maxRewriteAge).Format(time.RFC3339Nano)))
		b.Bind(OnStorage(d))
		synctest.Wait()
		d.mu.Lock()
		clear(d.files)
		d.mu.Unlock()
		b.Bind(OnStorage(d))
		synctest.Wait()
		if !b.Stored("words/a") || stored(t, d, "a")["say"] != "x" {
			t.Error("it is not there again")
		}
	})
}

func TestRecordOfTheLongestLengthIsWrittenAndNoneThatIsLonger(t *testing.T) {
	r := Record{V: Version, Seq: 1, By: "n1", Value: value("")}
	raw, err := r.encode()
	if err != nil {
		t.Fatal(err)
	}
	room := maxRecord - len(raw)
	for _, tt := range []struct {
		bytes   int
		written bool
	}{{room, true}, {room + 1, false}} {
		r.Value = value(strings.Repeat("x", tt.bytes))
		if raw, err := r.encode(); (err == nil) != tt.written {
			t.Errorf("%d bytes: %v", len(raw), err)
		}
	}
}

func TestFirstWordReplacesTheRecordOfAnOlderWsgate(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(d))
		synctest.Wait()
		d.put("words/a", `{"say":"x"}`)
		b.say(t, "a", "mine")
		synctest.Wait()
		if f := stored(t, d, "a"); f["say"] != "mine" || f["seq"] != 2.0 || b.Tag("words/a") != `"2-n1"` {
			t.Errorf("there %v", f)
		}
	})
}

func TestOnlySoManyRecordsAreRead(t *testing.T) {
	b := newBoard()
	keys := make([]string, maxRecords)
	for i := range keys {
		keys[i] = fmt.Sprintf("words/%05d", i)
	}
	if n := len(b.recordKeys(&words, keys)); n != maxRecords || len(b.reported()) > 0 {
		t.Errorf("%d are read, reported %q", n, b.reported())
	}
	if n := len(b.recordKeys(&words, append(keys, "words/too-many"))); n != maxRecords {
		t.Errorf("%d are read", n)
	}
	if reported := b.reported(); len(reported) != 1 || !strings.Contains(reported[0], "has 10001 records: 10000 of them are read") {
		t.Errorf("reported %q", reported)
	}
}

func TestLanesOfPlacesThatAreLeftGo(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		for i := range 5 {
			b.Bind(OnStorage(named{d, fmt.Sprint(i)}))
			synctest.Wait()
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if n := len(b.lanes); n > 2 {
			t.Errorf("%d lanes are kept", n)
		}
	})
}

func TestLaneStaysWhileSomebodyMayCallThere(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		one, two := OnStorage(named{d, "one"}), OnStorage(named{d, "two"})
		laneOf := func(p Place) *lane {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.laneOf(p)
		}
		d.set(errors.New("full"))
		b.Bind(one)
		b.say(t, "a", "x")
		synctest.Wait() // the writer waits for its next try, no call is under way
		before := laneOf(one)
		laneOf(two)
		if laneOf(one) != before {
			t.Error("the writer and whoever comes next write at the same time")
		}
		d.set(nil)
		time.Sleep(writeRetryMost)
		d.hang(func(op, _ string) bool { return op == "list" })
		b.Bind(one)
		synctest.Wait() // the reading hangsAfter
		laneOf(two)
		if laneOf(one) != before {
			t.Error("two readings are under way")
		}
		d.hang(nil)
		d.release <- struct{}{}
		synctest.Wait()
		laneOf(two)
		if laneOf(one) == before {
			t.Error("it stays for ever")
		}
	})
}

func TestFlushWaitsForAWriteForTwoSeconds(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(d))
		synctest.Wait()
		d.hang(func(op, _ string) bool { return op == "store" })
		b.say(t, "a", "x")
		synctest.Wait()
		time.Sleep(hangsAfter - time.Nanosecond)
		if !b.isWriting(b.bound, 9) {
			t.Error("it does not wait for a write that may still come to its end")
		}
		time.Sleep(time.Nanosecond)
		if b.isWriting(b.bound, 9) {
			t.Error("it waits for a write that hangsAfter")
		}
		d.hang(nil)
		d.release <- struct{}{}
	})
}

func TestWriteThatHangsIsReportedAfterElevenSeconds(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(d))
		synctest.Wait()
		d.hang(func(op, _ string) bool { return op == "store" })
		b.say(t, "a", "x")
		synctest.Wait()
		time.Sleep(11*time.Second - time.Nanosecond)
		if reported := b.reported(); len(reported) > 0 {
			t.Errorf("reported %q too early", reported)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if reported := b.reported(); len(reported) != 1 || !strings.Contains(reported[0], "no answer after 11s") {
			t.Errorf("reported %q", reported)
		}
		d.hang(nil)
		d.release <- struct{}{}
	})
}

func TestNothingIsWrittenWhileNobodyCanLook(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(d))
		synctest.Wait()
		d.hang(func(op, _ string) bool { return op == "load" })
		for _, key := range []string{"a", "b", "c"} {
			b.say(t, key, "x")
		}
		time.Sleep(2 * time.Minute)
		for _, key := range []string{"a", "b", "c"} {
			if _, there := d.get("words/" + key); there || b.Stored("words/"+key) || b.reads(key) != "x" {
				t.Errorf("%s: there %v, stored %v", key, there, b.Stored("words/"+key))
			}
		}
		if reads, _ := d.busiest(); reads != 1 {
			t.Errorf("%d reads at once", reads)
		}
		d.hang(nil)
		d.release <- struct{}{}
		time.Sleep(writeRetryMost)
		synctest.Wait()
		if p := b.Pending(); len(p) > 0 {
			t.Errorf("pending %v", p)
		}
	})
}

// undeletable is a storage that can delete nothing while locked is set.
type undeletable struct {
	*disk
	locked bool
}

func (u *undeletable) Delete(ctx context.Context, key string) error {
	u.mu.Lock()
	locked := u.locked
	u.mu.Unlock()
	if locked {
		return errors.New("permission denied")
	}
	return u.disk.Delete(ctx, key)
}

func TestEndedRecordThatCannotBeDeletedIsTriedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		u := &undeletable{disk: d, locked: true}
		b.Bind(OnStorage(u))
		if _, err := b.Put("words/a", ending("x", time.Now().Add(time.Minute)), "", time.Now()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if b.Stored("words/a") || b.reads("a") != "" {
			t.Errorf("stored %v, in force %q", b.Stored("words/a"), b.reads("a"))
		}
		if reported := b.reported(); len(reported) != 1 || reported[0] != "unwritten words/a: removing the record: permission denied" {
			t.Errorf("reported %q", reported)
		}
		u.mu.Lock()
		u.locked = false
		u.mu.Unlock()
		time.Sleep(writeRetryMost)
		if _, there := d.get("words/a"); there || !b.Stored("words/a") {
			t.Errorf("there %v, stored %v", there, b.Stored("words/a"))
		}
	})
}
