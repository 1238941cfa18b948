package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"testing/synctest"
	"time"
)

// Several processes on one storage: which word counts.

// same expects one word in force at all boards and in the storage, under one
// tag.
func same(t *testing.T, d *disk, key, want string, boards ...*board) {
	t.Helper()
	f := stored(t, d, key)
	for i, b := range boards {
		r, _ := b.Get("words/" + key)
		if b.reads(key) != want || f["say"] != want || float64(r.Seq) != f["seq"] || r.By != f["by"] || !b.Stored("words/"+key) {
			t.Errorf("process %d has %q (%d by %s, stored %v), there %v, want %q", i, b.reads(key), r.Seq, r.By, b.Stored("words/"+key), f, want)
		}
	}
}

// load has all boards read a storage once more.
func load(d *disk, boards ...*board) {
	for _, b := range boards {
		b.Bind(OnStorage(d))
		synctest.Wait()
	}
}

func TestRepeatedWordReplacesThatOfAnotherProcess(t *testing.T) {
	for name, others := range map[string][]string{
		"said once":         {"theirs"},
		"said often":        {"one", "two", "three"},
		"the same, by them": {"mine"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *board, d *disk) {
				b.Bind(OnStorage(d))
				before := b.say(t, "a", "mine")
				synctest.Wait()
				other := second(t, d)
				for _, text := range others {
					other.say(t, "a", text)
				}
				synctest.Wait()
				time.Sleep(time.Second)
				b.repeat(t, "a", "mine")
				if b.reads("a") != "mine" || !b.AwaitStored(t.Context(), "words/a") {
					t.Error("not in force, or not stored")
				}
				if f := stored(t, d, "a"); f["say"] != "mine" || f["seq"] != float64(len(others)+2) || f["by"] != "n1" {
					t.Errorf("there %v", f)
				}
				if r, _ := b.Get("words/a"); r.Tag() == before.Tag() || !r.SaidAt.After(before.SaidAt) {
					t.Errorf("in force %+v", r)
				}
				if len(b.changed()) != 1 {
					t.Error("the watchers do not learn of the number")
				}
				load(d, other, b)
				same(t, d, "a", "mine", b, other)
			})
		})
	}
}

func TestRepeatedWordThatIsThereChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		d.put("words/read", `{"say":"x","seq":4,"by":"n2","v":1}`)
		b.Bind(OnStorage(d))
		b.say(t, "said", "x")
		synctest.Wait()
		d.count("")
		for _, key := range []string{"read", "said", "none"} {
			before := b.Tag("words/" + key)
			b.repeat(t, key, "x")
			if !b.AwaitStored(t.Context(), "words/"+key) || b.Tag("words/"+key) != before {
				t.Errorf("%s: %s after %s", key, b.Tag("words/"+key), before)
			}
		}
		if n := d.count("store"); n != 0 || len(b.Pending()) > 0 || b.reads("none") != "" {
			t.Errorf("written %d times, pending %v, %q", n, b.Pending(), b.reads("none"))
		}
	})
}

func TestRepeatedWordWhereNothingIsKnownReplacesWhatIsThere(t *testing.T) {
	for name, text := range map[string]string{
		"a word":          `{"say":"theirs","seq":7,"by":"n2","v":1,"said_at":"1999-12-31T23:00:00Z"}`,
		"of the future":   `{"say":"theirs","seq":7,"by":"n2","v":1,"said_at":"2030-12-31T23:00:00Z"}`,
		"a later version": `{"say":"theirs","seq":7,"by":"n2","v":9}`,
		"a broken one":    `{"say":7,"seq":7}`,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *board, d *disk) {
				b.Bind(OnStorage(d))
				synctest.Wait()
				d.put("words/a", text)
				b.repeat(t, "a", "mine")
				if !b.AwaitStored(t.Context(), "words/a") || b.Tag("words/a") != `"8-n1"` {
					t.Errorf("in force %s", b.Tag("words/a"))
				}
				same(t, d, "a", "mine", b, second(t, d))
			})
		})
	}
}

func TestWordThatIsSaidNowReplacesEvenOneOfTheFuture(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(d))
		b.say(t, "a", "first")
		synctest.Wait()
		d.put("words/a", `{"say":"theirs","seq":7,"by":"n2","v":1,"said_at":"2030-12-31T23:00:00Z"}`)
		b.say(t, "a", "mine")
		synctest.Wait()
		same(t, d, "a", "mine", b, second(t, d))
		load(d, b)
		same(t, d, "a", "mine", b)
	})
}

// end ends the word in force under a key.
func (b *board) end(t *testing.T, key string) {
	t.Helper()
	if _, err := b.End("words/"+key, value("ended"), b.Tag("words/"+key), time.Now()); err != nil {
		t.Fatal(err)
	}
}

func TestEndReplacesOnlyTheRecordThatEnds(t *testing.T) {
	for name, tt := range map[string]struct{ there, want string }{
		"it is there":                  {"", "ended"},
		"a later one":                  {`{"say":"theirs","seq":2,"by":"n2","v":1,"said_at":"2000-01-01T00:00:02Z"}`, "theirs"},
		"one by a clock that is late":  {`{"say":"theirs","seq":2,"by":"n2","v":1,"said_at":"1999-01-01T00:00:02Z"}`, "theirs"},
		"one with the same number":     {`{"say":"theirs","seq":1,"by":"n0","v":1,"said_at":"2000-01-01T00:00:02Z"}`, "theirs"},
		"one said before, same number": {`{"say":"theirs","seq":1,"by":"n2","v":1,"said_at":"1999-01-01T00:00:00Z"}`, "ended"},
		"one of an older wsgate":       {`{"say":"theirs"}`, "theirs"},
		"nothing":                      {"-", "ended"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *board, d *disk) {
				b.Bind(OnStorage(d))
				b.say(t, "a", "x")
				synctest.Wait()
				switch tt.there {
				case "":
				case "-":
					d.mu.Lock()
					clear(d.files)
					d.mu.Unlock()
				default:
					d.put("words/a", tt.there)
				}
				time.Sleep(3 * time.Second)
				b.end(t, "a")
				if !b.AwaitStored(t.Context(), "words/a") || b.reads("a") != tt.want || stored(t, d, "a")["say"] != tt.want {
					t.Errorf("in force %q, there %v", b.reads("a"), stored(t, d, "a"))
				}
				if _, err := b.End("words/a", value("ended"), `"77-x"`, time.Now()); !errors.Is(err, ErrConflict) {
					t.Errorf("the end of another record: %v", err)
				}
				load(d, b)
				if b.reads("a") != tt.want || !b.Stored("words/a") {
					t.Errorf("after a load %q", b.reads("a"))
				}
			})
		})
	}
}

func TestEndLeavesARecordThatCannotBeRead(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(d))
		b.say(t, "a", "x")
		synctest.Wait()
		d.put("words/a", `hello`)
		b.end(t, "a")
		synctest.Wait()
		if text, _ := d.get("words/a"); text != "hello" || b.Stored("words/a") || b.Trouble("words/a") == "" || b.reads("a") != "ended" {
			t.Errorf("there %s, stored %v, trouble %q", text, b.Stored("words/a"), b.Trouble("words/a"))
		}
	})
}

func TestTwoProcessesThatReachAnEndAgree(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(d))
		b.say(t, "a", "x")
		synctest.Wait()
		other := second(t, d)
		b.end(t, "a")
		synctest.Wait()
		other.end(t, "a")
		synctest.Wait()
		same(t, d, "a", "ended", b, other)
		if f := stored(t, d, "a"); f["seq"] != 2.0 || f["by"] != "n1" {
			t.Errorf("there %v", f)
		}
	})
}

// TestPendingWord has a process that cannot reach the storage, and another one
// that can. ours is said at the first second, theirs at the given one.
func TestPendingWord(t *testing.T) {
	for name, tt := range map[string]struct {
		failing bool // the storage fails; otherwise it hangs
		theirs  time.Duration
		words   int // that the other one says, before
		by      string
		want    string
	}{
		"later, the same number, a higher name":      {true, 30 * time.Second, 1, "n9", "theirs"},
		"later, the same number, a lower name":       {true, 30 * time.Second, 1, "n0", "theirs"},
		"earlier, the same number, a higher name":    {true, 0, 1, "n9", "ours"},
		"earlier, the same number, a lower name":     {true, 0, 1, "n0", "ours"},
		"earlier, a higher number":                   {true, 0, 10, "n9", "ours"},
		"later, a higher number":                     {true, 30 * time.Second, 10, "n0", "theirs"},
		"earlier, a higher number, a read that hang": {false, 0, 10, "n9", "ours"},
		"later, a higher number, a read that hangs":  {false, 30 * time.Second, 10, "n9", "theirs"},
		"later, the same number, a read that hangs":  {false, 30 * time.Second, 1, "n0", "theirs"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *board, d *disk) {
				p := &torn{disk: d, until: make(chan struct{})}
				b.Bind(OnStorage(p))
				b.say(t, "a", "start")
				synctest.Wait()
				other := newBoard()
				other.SetBy(tt.by)
				load(d, other)
				said := func(at time.Duration) {
					time.Sleep(at)
					for range tt.words {
						other.say(t, "a", "theirs")
						synctest.Wait()
					}
				}
				p.tear(tt.failing)
				if !tt.failing {
					b.Bind(OnStorage(p)) // a load, whose reading hangs
					synctest.Wait()
				}
				if tt.theirs == 0 {
					said(0)
				}
				time.Sleep(time.Second)
				b.say(t, "a", "ours")
				if tt.theirs > 0 {
					said(tt.theirs)
				}
				time.Sleep(time.Minute)
				if b.Stored("words/a") || b.reads("a") != "ours" || stored(t, d, "a")["say"] != "theirs" {
					t.Errorf("meanwhile: stored %v, %q, there %v", b.Stored("words/a"), b.reads("a"), stored(t, d, "a"))
				}
				highest := stored(t, d, "a")["seq"].(float64)
				p.mend()
				time.Sleep(time.Minute)
				same(t, d, "a", tt.want, b)
				if seq := stored(t, d, "a")["seq"].(float64); tt.want == "ours" && seq <= highest {
					t.Errorf("the number is %v, and %v was there", seq, highest)
				}
				load(d, other, b)
				same(t, d, "a", tt.want, b, other)
				restarted := newBoard()
				load(d, restarted)
				same(t, d, "a", tt.want, restarted)
			})
		})
	}
}

// torn is one process's connection to a disk. While it is torn, calls fail, or
// its reads hang.
type torn struct {
	*disk
	until chan struct{}
	how   string
}

func (p *torn) tear(fail bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.how = "hang"; fail {
		p.how = "fail"
	}
}

func (p *torn) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.how = ""
	close(p.until)
}

func (p *torn) reach(reads bool) error {
	p.mu.Lock()
	how := p.how
	p.mu.Unlock()
	switch {
	case how == "fail":
		return errors.New("stale handle")
	case how == "hang" && reads:
		<-p.until
	}
	return nil
}

func (p *torn) Load(ctx context.Context, key string) ([]byte, error) {
	if err := p.reach(true); err != nil {
		return nil, err
	}
	return p.disk.Load(ctx, key)
}

func (p *torn) List(ctx context.Context, folder string, all bool) ([]string, error) {
	if err := p.reach(true); err != nil {
		return nil, err
	}
	return p.disk.List(ctx, folder, all)
}

func (p *torn) Store(ctx context.Context, key string, raw []byte) error {
	if err := p.reach(false); err != nil {
		return err
	}
	return p.disk.Store(ctx, key, raw)
}

func TestPendingEndLeavesALaterWord(t *testing.T) {
	for name, tt := range map[string]struct{ before, want string }{
		"said before the one that has ended": {"theirs", "ended"},
		"said after it":                      {"", "theirs"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *board, d *disk) {
				p := &torn{disk: d, until: make(chan struct{})}
				b.Bind(OnStorage(p))
				synctest.Wait()
				other := second(t, d)
				p.tear(true)
				if tt.before != "" {
					other.say(t, "a", "theirs")
				}
				time.Sleep(time.Second)
				b.say(t, "a", "short")
				time.Sleep(time.Second)
				if tt.before == "" {
					other.say(t, "a", "theirs")
				}
				time.Sleep(time.Second)
				b.end(t, "a") // of a record that the storage never had
				p.mend()
				time.Sleep(time.Minute)
				same(t, d, "a", tt.want, b)
				load(d, other)
				same(t, d, "a", tt.want, b, other)
			})
		})
	}
}

func TestMovedRecordLeavesOneThatWasSaidLater(t *testing.T) {
	for name, tt := range map[string]struct {
		there string
		want  string
		seq   float64
	}{
		"nothing":                    {"", "mine", 1},
		"said before, lower":         {`{"say":"theirs","seq":1,"by":"n2","v":1,"said_at":"1999-01-01T00:00:00Z"}`, "mine", 2},
		"said before, higher":        {`{"say":"theirs","seq":9,"by":"n2","v":1,"said_at":"1999-01-01T00:00:00Z"}`, "mine", 10},
		"said later, lower":          {`{"say":"theirs","seq":1,"by":"n2","v":1,"said_at":"2000-01-01T00:01:00Z"}`, "theirs", 1},
		"said later, higher":         {`{"say":"theirs","seq":9,"by":"n2","v":1,"said_at":"2000-01-01T00:01:00Z"}`, "theirs", 9},
		"a later version, said late": {`{"say":"theirs","seq":9,"by":"n2","v":9,"said_at":"2000-01-01T00:01:00Z"}`, "", 9},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *board, d *disk) {
				b.Bind(OnStorage(named{d, "old"}))
				b.say(t, "a", "mine")
				time.Sleep(2 * time.Minute)
				other := newDisk()
				if tt.there != "" {
					other.put("words/a", tt.there)
				}
				b.Bind(OnStorage(named{other, "new"}))
				synctest.Wait()
				if f := stored(t, other, "a"); f["seq"] != tt.seq {
					t.Errorf("there %v", f)
				}
				if tt.want != "" {
					same(t, other, "a", tt.want, b)
				} else if b.reads("a") != "mine" || b.Stored("words/a") || b.Trouble("words/a") == "" {
					t.Errorf("%q, stored %v", b.reads("a"), b.Stored("words/a"))
				}
			})
		})
	}
}

func TestPendingWordMovesAlong(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(named{d, "old"}))
		b.say(t, "a", "start")
		b.say(t, "b", "x")
		synctest.Wait()
		d.set(errors.New("full"))
		b.say(t, "a", "mine")
		b.end(t, "b")
		time.Sleep(time.Minute)
		other := newDisk()
		other.put("words/a", `{"say":"theirs","seq":9,"by":"n2","v":1,"said_at":"1999-01-01T00:00:00Z"}`)
		other.put("words/b", `{"say":"theirs","seq":9,"by":"n2","v":1,"said_at":"1999-01-01T00:00:00Z"}`)
		b.Bind(OnStorage(named{other, "new"}))
		synctest.Wait()
		same(t, other, "a", "mine", b)
		same(t, other, "b", "ended", b)
	})
}

// locked is a storage with a file that cannot be read, only replaced.
type locked struct {
	*disk
	key string
}

func (l *locked) Load(ctx context.Context, key string) ([]byte, error) {
	l.mu.Lock()
	no := key == l.key
	l.mu.Unlock()
	if no {
		return nil, fs.ErrPermission
	}
	return l.disk.Load(ctx, key)
}

func (l *locked) Store(ctx context.Context, key string, raw []byte) error {
	l.mu.Lock()
	if key == l.key {
		l.key = ""
	}
	l.mu.Unlock()
	return l.disk.Store(ctx, key, raw)
}

func TestWordReplacesARecordWhoseNumberNobodyKnowsForGood(t *testing.T) {
	for name, tt := range map[string]struct {
		text   string
		locked bool
	}{
		"it cannot be opened":   {`{"say":"old","seq":50,"by":"n2","v":1,"said_at":"1999-01-01T00:00:00Z"}`, true},
		"its number is absurd":  {`{"say":"old","seq":4503599627370496,"by":"n2","v":1,"said_at":"2030-01-01T00:00:00Z"}`, false},
		"its number is no uint": {`{"say":"old","seq":-1,"by":"n2","v":1}`, false},
		"it is no record":       {`hello`, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *board, d *disk) {
				d.put("words/a", `{"say":"old","seq":50,"by":"n2","v":1,"said_at":"1999-01-01T00:00:00Z"}`)
				other := second(t, d) // knows number 50
				d.put("words/a", tt.text)
				p := &locked{disk: d}
				if tt.locked {
					p.key = at("words/a")
				}
				b.Bind(OnStorage(p))
				synctest.Wait()
				if b.Trouble("words/a") == "" || b.Stored("words/a") {
					t.Fatalf("trouble %q", b.Trouble("words/a"))
				}
				b.say(t, "a", "mine")
				if !b.AwaitStored(t.Context(), "words/a") || stored(t, d, "a")["seq"] != float64(timed) {
					t.Errorf("there %v", stored(t, d, "a"))
				}
				load(d, other, b)
				same(t, d, "a", "mine", b, other)
				b.say(t, "a", "next")
				synctest.Wait()
				if f := stored(t, d, "a"); f["seq"] != float64(timed+1) {
					t.Errorf("there %v", f)
				}
			})
		})
	}
}

func TestPendingWordWaitsUntilItCanLook(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		p := &picky{disk: d, refuses: at("words/a")}
		b.Bind(OnStorage(p))
		b.say(t, "a", "mine")
		synctest.Wait()
		time.Sleep(time.Minute)
		theirs := fmt.Sprintf(`{"say":"theirs","seq":1,"by":"n2","v":1,"said_at":%q}`, time.Now().Format(time.RFC3339))
		d.put("words/a", theirs)
		d.set(errors.New("reads fail"))
		p.mu.Lock()
		p.refuses = ""
		p.mu.Unlock()
		time.Sleep(time.Minute)
		if text, _ := d.get("words/a"); text != theirs {
			t.Errorf("replaced without a look: %s", text)
		}
	})
}

func TestEveryNumberThatIsWrittenIsRead(t *testing.T) {
	for _, seq := range []uint64{maxSeq - 1, maxSeq} {
		bubble(t, func(t *testing.T, b *board, d *disk) {
			d.put("words/a", fmt.Sprintf(`{"say":"old","seq":%d,"by":"n9","v":1,"said_at":"1999-12-31T00:00:00Z"}`, seq))
			b.Bind(OnStorage(d))
			synctest.Wait()
			other := second(t, d)
			for i := range 3 {
				time.Sleep(time.Second)
				b.say(t, "a", fmt.Sprint(i))
				synctest.Wait()
				load(d, other, b)
				same(t, d, "a", fmt.Sprint(i), b, other)
				restarted := newBoard()
				load(d, restarted)
				same(t, d, "a", fmt.Sprint(i), restarted)
			}
			if !b.Exhausted("words/a") || b.Exhausted("words/b") {
				t.Error("nobody learns that there is no higher number")
			}
		})
	}
}

func TestAnswerFromBeforeAPutIsNotTakenAfterIt(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(d))
		b.say(t, "a", "first")
		synctest.Wait()
		old := `{"say":"theirs","seq":1,"by":"n2","v":1,"said_at":"2030-01-01T00:00:00Z"}`
		since := b.changesOf("words/a")
		b.say(t, "a", "mine")
		synctest.Wait()
		b.handleRead(b.bound, "words/a", []byte(old), nil, since)
		synctest.Wait()
		same(t, d, "a", "mine", b)
	})
}

func TestRecordReplacesOneThatIsEarlier(t *testing.T) {
	at := func(sec int64) time.Time { return time.Unix(sec, 0) }
	old := Record{Seq: 3, By: "n1", SaidAt: at(10), V: Version}
	for name, tt := range map[string]struct {
		r              Record
		unseen, placed bool // whether r replaces old where it did not and did know it
	}{
		"itself":                       {old, false, false},
		"a higher number, said later":  {Record{Seq: 4, By: "n0", SaidAt: at(11), V: 1}, true, true},
		"a higher number, said before": {Record{Seq: 4, By: "n9", SaidAt: at(9), V: 1}, false, true},
		"a lower number, said later":   {Record{Seq: 2, By: "n0", SaidAt: at(11), V: 1}, true, true},
		"a lower number, said before":  {Record{Seq: 2, By: "n9", SaidAt: at(9), V: 1}, false, false},
		"the same number, said later":  {Record{Seq: 3, By: "n0", SaidAt: at(11), V: 1}, true, true},
		"the same number, said before": {Record{Seq: 3, By: "n9", SaidAt: at(9), V: 1}, false, false},
		"said together, a higher name": {Record{Seq: 3, By: "n2", SaidAt: at(10), V: 1}, true, true},
		"said together, a lower name":  {Record{Seq: 3, By: "n0", SaidAt: at(10), V: 1}, false, false},
		"an older wsgate":              {Record{Seq: 1}, false, true},
		"nothing that can be read":     {Record{}, false, false},
	} {
		if got := tt.r.Replaces(old, false); got != tt.unseen {
			t.Errorf("%s, old was never there: %v", name, got)
		}
		if got := tt.r.Replaces(old, true); got != tt.placed {
			t.Errorf("%s, old was there: %v", name, got)
		}
	}
}

func TestReadingsOfABrokenRecordOfTheOthers(t *testing.T) {
	for name, tt := range map[string]struct {
		there string
		stays bool
	}{
		"a later one of a later version":    {`{"say":"theirs","seq":9,"by":"n2","v":9,"said_at":"2000-01-01T01:00:00Z"}`, true},
		"an earlier one of a later version": {`{"say":"theirs","seq":1,"by":"n2","v":9,"said_at":"1999-01-01T01:00:00Z"}`, false},
		"no record":                         {`{"say":`, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *board, d *disk) {
				b.Bind(OnStorage(d))
				b.say(t, "a", "mine")
				synctest.Wait()
				d.put("words/a", tt.there)
				load(d, b)
				var f map[string]any
				text, _ := d.get("words/a")
				_ = json.Unmarshal([]byte(text), &f)
				if stays := f["say"] != "mine"; stays != tt.stays || b.Stored("words/a") == stays || (b.Trouble("words/a") != "") != stays || b.reads("a") != "mine" {
					t.Errorf("there %s, stored %v, trouble %q", text, b.Stored("words/a"), b.Trouble("words/a"))
				}
			})
		})
	}
}

func TestOneGoroutineAtMostWaitsForItsTurn(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		hanging, fine := OnStorage(named{d, "hangs"}), OnStorage(named{newDisk(), "fine"})
		d.hang(func(string, string) bool { return true })
		for range 20 {
			b.Bind(hanging)
			b.say(t, "a", "x")
			time.Sleep(ReadWait + time.Second)
			b.Bind(fine)
			synctest.Wait()
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, a := range b.lanes {
			if a.users > 2 {
				t.Errorf("%d goroutines are at work in one place", a.users)
			}
		}
	})
}

func TestPendingWordReplacesTheOneThatItsOperatorSaw(t *testing.T) {
	for _, ended := range []bool{false, true} {
		bubble(t, func(t *testing.T, b *board, d *disk) {
			d.put("words/a", `{"say":"theirs","seq":7,"by":"n2","v":1,"said_at":"2030-01-01T00:00:00Z"}`) // by a clock that is fast
			b.Bind(OnStorage(d))
			synctest.Wait()
			d.set(errors.New("full"))
			want := "mine"
			b.say(t, "a", "first")
			b.say(t, "a", "mine")
			b.repeat(t, "a", "mine")
			if ended {
				want = "ended"
				b.end(t, "a")
			}
			time.Sleep(time.Minute)
			d.set(nil)
			time.Sleep(time.Minute)
			same(t, d, "a", want, b, second(t, d))
		})
	}
}

func TestRepeatOfARecordThatIsNotInForceIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(d))
		b.say(t, "a", "x")
		synctest.Wait()
		before := b.Tag("words/a")
		d.put("words/a", `{"say":"theirs","seq":2,"by":"n2","v":1}`)
		load(d, b)
		for key, tag := range map[string]string{"words/a": before, "words/b": before} {
			if err := b.Repeat(key, value("x"), tag, time.Now()); !errors.Is(err, ErrConflict) {
				t.Errorf("%s: %v", key, err)
			}
		}
		if len(b.Pending()) > 0 || b.reads("a") != "theirs" {
			t.Errorf("pending %q, %q", b.Pending(), b.reads("a"))
		}
	})
}

func TestWordThatIsFoundUnderAnotherNumberStaysThatOfThisProcess(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(named{d, "old"}))
		b.say(t, "a", "mine")
		synctest.Wait()
		d.put("words/a", `{"say":"mine","seq":9,"by":"n1","v":1,"said_at":"2000-01-01T00:00:00Z"}`)
		b.Bind(OnStorage(named{d, "old"}))
		synctest.Wait()
		same(t, d, "a", "mine", b)
		other := newDisk()
		b.Bind(OnStorage(named{other, "new"}))
		synctest.Wait()
		same(t, other, "a", "mine", b)
	})
}

func TestRepeatOfNothingWithoutAPlaceWaitsForNothing(t *testing.T) {
	b := newBoard()
	b.repeat(t, "a", "x")
	if len(b.Pending()) > 0 || !b.AwaitStored(t.Context(), "words/a") {
		t.Errorf("pending %q", b.Pending())
	}
}

// halfway is a storage that fails to give back what it has just stored.
type halfway struct{ *disk }

func (h halfway) Store(ctx context.Context, key string, raw []byte) error {
	err := h.disk.Store(ctx, key, raw)
	h.set(errors.New("unplugged"))
	return err
}

func TestRepeatedWordThatCouldNotBeReadBackIsThatOfThisProcess(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(d))
		b.say(t, "a", "mine")
		synctest.Wait()
		d.put("words/a", `{"say":"theirs","seq":7,"by":"n2","v":1}`)
		b.Bind(OnStorage(halfway{d}))
		b.repeat(t, "a", "mine")
		synctest.Wait()
		if b.Stored("words/a") {
			t.Error("nobody has read it back")
		}
		d.set(nil)
		time.Sleep(time.Minute)
		same(t, d, "a", "mine", b)
		b.mu.Lock()
		defer b.mu.Unlock()
		if !b.entries["words/a"].putHere {
			t.Error("it would not move along")
		}
	})
}
