package ledger

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Which number a record gets, at the edges.

func TestNumbersOfWhatWasSaidBeforeThePlaceWasRead(t *testing.T) {
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
		"one that is no record at all":   {`hello`, 2},
		"one whose number is too high":   {`{"say":"x","seq":4503599627370496,"by":"n2","v":1}`, 2},
		"one with the highest number":    {`{"say":"x","seq":4503599627370495,"by":"n2","v":1}`, 4503599627370496},
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

func TestNumbersOfWhatIsSaidWhereSomebodyElseHasWritten(t *testing.T) {
	for name, tt := range map[string]struct {
		there string
		seq   uint64
	}{
		"an older wsgate":            {`{"say":"x"}`, 2},
		"an earlier one":             {`{"say":"x","seq":1,"by":"n2","v":1}`, 2},
		"the same number":            {`{"say":"x","seq":2,"by":"n0","v":1}`, 3},
		"a later one":                {`{"say":"x","seq":5,"by":"n2","v":1}`, 6},
		"a later one of a later one": {`{"say":"x","seq":5,"by":"n2","v":9}`, 6},
		"no record":                  {`hello`, 2},
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
				if told := len(b.changed()) > 0; told != (tt.seq > 2) {
					t.Errorf("told of another number: %v", told)
				}
			})
		})
	}
}

func TestRecordComesAfterNoneThatIsTheSame(t *testing.T) {
	r := Record{Seq: 3, By: "n1"}
	for _, tt := range []struct {
		than  Record
		later bool
	}{
		{r, false}, {Record{Seq: 2, By: "n9"}, true}, {Record{Seq: 4, By: "n0"}, false}, {Record{Seq: 3, By: "n0"}, true}, {Record{Seq: 3, By: "n2"}, false},
	} {
		if r.Later(tt.than) != tt.later {
			t.Errorf("later than %+v: %v", tt.than, !tt.later)
		}
	}
}

func TestRecordOfExactlyADayIsWrittenAgain(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		d.put("words/a", fmt.Sprintf(`{"say":"x","seq":3,"by":"n2","v":1,"said_at":%q}`, time.Now().Add(-rewrites).Format(time.RFC3339Nano)))
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

func TestOnlySoManyRecordsAreRead(t *testing.T) {
	b := newBoard()
	keys := make([]string, maxRecords)
	for i := range keys {
		keys[i] = fmt.Sprintf("words/%05d", i)
	}
	if n := len(b.worthReading(&words, keys)); n != maxRecords || len(b.told()) > 0 {
		t.Errorf("%d are read, told %q", n, b.told())
	}
	if n := len(b.worthReading(&words, append(keys, "words/too-many"))); n != maxRecords {
		t.Errorf("%d are read", n)
	}
	if told := b.told(); len(told) != 1 || !strings.Contains(told[0], "has 10001 records: 10000 of them are read") {
		t.Errorf("told %q", told)
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

func TestWritesGoOnWhileReadsHang(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(d))
		synctest.Wait()
		d.hang(func(op, _ string) bool { return op == "load" })
		for _, key := range []string{"a", "b", "c"} {
			b.say(t, key, "x")
		}
		time.Sleep(2 * time.Minute)
		for _, key := range []string{"a", "b", "c"} {
			if _, there := d.get("words/" + key); !there || b.Stored("words/"+key) {
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
