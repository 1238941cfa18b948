package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// disk is a storage that a test can make fail, or hang whatever the context
// of a call says.
type disk struct {
	mu                                   sync.Mutex
	files                                map[string]string
	fail                                 error
	lose                                 bool                      // what is written is not there afterwards
	stuck                                func(op, key string) bool // calls that hang; asked without the lock
	release                              chan struct{}
	calls                                []string
	reads, writes, mostReads, mostWrites int
}

func newDisk() *disk { return &disk{files: make(map[string]string), release: make(chan struct{})} }

// at returns the JSON file of a record.
func at(key string) string { return "wsgate/" + key + ".json" }

func (d *disk) call(op, key string, now, most *int) error {
	d.mu.Lock()
	d.calls = append(d.calls, op+" "+key)
	*now++
	*most = max(*most, *now)
	stuck, fail := d.stuck, d.fail
	d.mu.Unlock()
	if stuck != nil && stuck(op, key) {
		<-d.release
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	*now--
	return fail
}

func (d *disk) Store(_ context.Context, key string, value []byte) error {
	if err := d.call("store", key, &d.writes, &d.mostWrites); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.lose {
		d.files[key] = string(value)
	}
	return nil
}

func (d *disk) Load(_ context.Context, key string) ([]byte, error) {
	if err := d.call("load", key, &d.reads, &d.mostReads); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if text, ok := d.files[key]; ok {
		return []byte(text), nil
	}
	return nil, fs.ErrNotExist
}

func (d *disk) Delete(_ context.Context, key string) error {
	if err := d.call("delete", key, &d.writes, &d.mostWrites); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.files[key]; !ok {
		return fs.ErrNotExist
	}
	delete(d.files, key)
	return nil
}

func (d *disk) List(_ context.Context, folder string, _ bool) ([]string, error) {
	if err := d.call("list", folder, &d.reads, &d.mostReads); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var keys []string
	for key := range d.files {
		if path.Dir(key) == folder {
			keys = append(keys, key)
		}
	}
	if keys == nil {
		return nil, fs.ErrNotExist
	}
	return keys, nil
}

// busiest returns how many reads and writes were ever under way at once.
func (d *disk) busiest() (reads, writes int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mostReads, d.mostWrites
}

func (d *disk) put(key, text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files[at(key)] = text
}

func (d *disk) get(key string) (string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	text, ok := d.files[at(key)]
	return text, ok
}

func (d *disk) set(fail error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = fail
}

func (d *disk) hang(which func(op, key string) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stuck = which
}

// count returns how many calls began with what, and forgets them all.
func (d *disk) count(what string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.calls {
		if strings.HasPrefix(c, what) {
			n++
		}
	}
	d.calls = nil
	return n
}

// named is a storage that says where it is.
type named struct {
	*disk
	name string
}

func (n named) String() string { return n.name }

// board is a ledger in a test, with all that it reports.
type board struct {
	*Ledger
	noted    sync.Mutex // guards the fields below
	troubles []string
	changes  []string
}

var words = Kind{
	Prefix:    "words/",
	Fields:    []string{"say", "ends"},
	ValidName: func(name string) bool { return !strings.Contains(name, "~") },
	Validate: func(_ string, r Record) (time.Time, error) {
		var v struct {
			Say  *string   `json:"say"`
			Ends time.Time `json:"ends"`
		}
		if err := json.Unmarshal(r.Value, &v); err != nil {
			return time.Time{}, err
		}
		if v.Say == nil || len(*v.Say) > 100 {
			return time.Time{}, errors.New("nothing is said, or too much")
		}
		return v.Ends, nil
	},
}

func newBoard() *board {
	b := &board{}
	note := func(text string) {
		b.noted.Lock()
		defer b.noted.Unlock()
		b.troubles = append(b.troubles, text)
	}
	b.Ledger = New("n1", Reports{
		Unreadable: func(err error) { note("unreadable: " + err.Error()) },
		Broken:     func(key string, err error) { note("broken " + key + ": " + err.Error()) },
		Unwritten:  func(key string, _ time.Duration, err error) { note("unwritten " + key + ": " + err.Error()) },
	}, words)
	b.Watch("words/", func(key string) {
		b.noted.Lock()
		defer b.noted.Unlock()
		b.changes = append(b.changes, key)
	})
	return b
}

func (b *board) reported() []string {
	b.noted.Lock()
	defer b.noted.Unlock()
	return slices.Clone(b.troubles)
}

func (b *board) changed() []string {
	b.noted.Lock()
	defer b.noted.Unlock()
	c := b.changes
	b.changes = nil
	return c
}

func value(text string) json.RawMessage {
	raw, _ := json.Marshal(map[string]string{"say": text})
	return raw
}

// say puts a word, or fails the test.
func (b *board) say(t *testing.T, key, text string) Record {
	t.Helper()
	r, err := b.Put("words/"+key, value(text), "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// repeat says a word once more, or fails the test.
func (b *board) repeat(t *testing.T, key, text string) {
	t.Helper()
	if err := b.Repeat("words/"+key, value(text), b.Tag("words/"+key), time.Now()); err != nil {
		t.Fatal(err)
	}
}

// reads returns what is said under a key; empty: nothing.
func (b *board) reads(key string) string {
	r, ok := b.Get("words/" + key)
	if !ok {
		return ""
	}
	var v struct{ Say string }
	_ = json.Unmarshal(r.Value, &v)
	return v.Say
}

// bubble runs a test in which hours take no time, and lets what hangs go at its
// end.
func bubble(t *testing.T, run func(t *testing.T, b *board, d *disk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		b := newBoard()
		run(t, b, d)
		d.set(nil)
		d.hang(nil)
		close(d.release)
		b.Bind(OnStorage(d)) // or a writer might still wait
		time.Sleep(2 * time.Minute)
	})
}

// stored expects a record in a storage, and returns its fields.
func stored(t *testing.T, d *disk, key string) map[string]any {
	t.Helper()
	text, ok := d.get("words/" + key)
	if !ok {
		t.Fatalf("%s is not stored: %v", key, slices.Sorted(maps.Keys(d.files)))
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

func TestWordIsInForceAtOnceAndStoredSoon(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(d))
		synctest.Wait()
		d.hang(func(op, _ string) bool { return op == "store" })
		r := b.say(t, "a", "hello")
		if b.reads("a") != "hello" || b.Stored("words/a") || !slices.Equal(b.Pending(), []string{"words/a"}) {
			t.Errorf("in force %q, stored %v, pending %v", b.reads("a"), b.Stored("words/a"), b.Pending())
		}
		synctest.Wait()
		d.hang(nil)
		d.release <- struct{}{}
		if !b.AwaitStored(t.Context(), "words/a") || !b.Stored("words/a") || len(b.Pending()) != 0 {
			t.Error("not stored")
		}
		f := stored(t, d, "a")
		if f["say"] != "hello" || f["v"] != 1.0 || f["seq"] != 1.0 || f["by"] != "n1" || f["said_at"] != time.Now().UTC().Format(time.RFC3339Nano) {
			t.Errorf("stored %v", f)
		}
		if r.Tag() != `"1-n1"` || b.Tag("words/a") != r.Tag() || b.Tag("words/none") != NoTag {
			t.Errorf("tags %s, %s", r.Tag(), b.Tag("words/none"))
		}
		if len(b.changed()) != 0 {
			t.Error("a Put calls the watchers")
		}
	})
}

func TestNextProcessReadsWhatWasStored(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		d.put("words/a", `{"say":"hello","v":1,"seq":7,"by":"n2","said_at":"2026-11-24T09:00:00Z"}`)
		d.put("words/old", `{"say":"before there was a version"}`)
		d.put("words/a~", `junk of an editor`)
		b.Bind(OnStorage(d))
		b.AwaitRead(t.Context())
		synctest.Wait()
		if b.reads("a") != "hello" || b.reads("old") != "before there was a version" || b.Tag("words/a") != `"7-n2"` || b.Tag("words/old") != `"1-"` {
			t.Errorf("read %q, %q", b.reads("a"), b.reads("old"))
		}
		if c := b.changed(); !slices.Equal(c, []string{"words/a", "words/old"}) {
			t.Errorf("watchers called for %v", c)
		}
		if !slices.Equal(b.Keys("words/"), []string{"words/a", "words/old"}) {
			t.Errorf("keys %v", b.Keys("words/"))
		}
		if r := b.say(t, "a", "more"); r.Seq != 8 || r.By != "n1" {
			t.Errorf("the next word is %+v", r)
		}
		if len(b.reported()) > 0 || !b.Stored("words/old") || b.Trouble("words/old") != "" {
			t.Errorf("troubles %v", b.reported())
		}
	})
}

func TestPutFailsIfAnotherRecordIsInForce(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(d))
		if _, err := b.Put("words/a", value("x"), `"9-n1"`, time.Now()); !errors.Is(err, ErrConflict) {
			t.Errorf("a tag that never was: %v", err)
		}
		first, err := b.Put("words/a", value("x"), NoTag, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Put("words/a", value("y"), NoTag, time.Now()); !errors.Is(err, ErrConflict) {
			t.Errorf("nothing was said, it thinks: %v", err)
		}
		if _, err := b.Put("words/a", value("y"), first.Tag(), time.Now()); err != nil || b.reads("a") != "y" {
			t.Errorf("%v, %q", err, b.reads("a"))
		}
	})
}

func TestPutRefusesValuesThatAreNotAllowed(t *testing.T) {
	b := newBoard()
	for name, raw := range map[string]string{
		"null": `null`, "a list": `[]`, "a word": `"say"`, "nothing": ``, "half": `{"say":`, "no word": `{}`, "much": `{"say":"` + strings.Repeat("x", 101) + `"}`,
		"far too much": `{"say":"x","note":"` + strings.Repeat("x", maxRecord) + `"}`,
	} {
		if _, err := b.Put("words/a", json.RawMessage(raw), "", time.Now()); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := b.Put("other/a", value("x"), "", time.Now()); err == nil {
		t.Error("a key of no kind is taken")
	}
	if b.reads("a") != "" || len(b.Pending()) > 0 || len(b.Keys("words/")) > 0 {
		t.Error("something is left of it")
	}
}

func TestHistoryIsBounded(t *testing.T) {
	b := newBoard()
	if b.History("words/a") != nil {
		t.Error("a history of nothing")
	}
	for i := range 3 * maxHistory {
		b.say(t, "a", fmt.Sprint(i))
	}
	h := b.History("words/a")
	if len(h) != maxHistory || h[0].Seq != 2*maxHistory+1 || h[maxHistory-1].Seq != 3*maxHistory {
		t.Errorf("%d records, from %d to %d", len(h), h[0].Seq, h[len(h)-1].Seq)
	}
}

func TestBrokenRecordIsATroubleUntilANewWordReplacesIt(t *testing.T) {
	for name, text := range map[string]string{
		"null": `null`, "empty": `{}`, "no JSON": `{"say":`, "a list": `[1]`, "nothing": ``, "later version": `{"say":"x","v":2,"seq":40}`, "version below none": `{"say":"x","v":-1}`,
		"a seq beyond all": `{"say":"x","seq":9007199254740992}`, "a seq that is none": `{"say":"x","seq":"1"}`, "a writer that breaks a tag": `{"say":"x","by":"a\"b"}`,
		"a long writer": `{"say":"x","by":"` + strings.Repeat("n", maxBy+1) + `"}`, "a time that is none": `{"say":"x","said_at":"noon"}`,
		"5 MB": `{"say":"` + strings.Repeat("x", 5<<20) + `"}`, "one byte too many": `{"say":"x"}` + strings.Repeat(" ", maxRecord-10),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *board, d *disk) {
				d.put("words/a", text)
				d.put("words/b", `{"say":"fine"}`)
				b.Bind(OnStorage(d))
				synctest.Wait()
				if b.reads("a") != "" || b.Trouble("words/a") == "" || b.Stored("words/a") || b.Troubles("words/") != "a: "+b.Trouble("words/a") {
					t.Errorf("in force %q, trouble %q, stored %v, %q", b.reads("a"), b.Trouble("words/a"), b.Stored("words/a"), b.Troubles("words/"))
				}
				if b.reads("b") != "fine" || b.Trouble("words/b") != "" || !b.Stored("words/b") {
					t.Error("it hides another one")
				}
				if reported := b.reported(); len(reported) != 1 || !strings.HasPrefix(reported[0], "broken words/a: ") {
					t.Errorf("reported %q", reported)
				}
				r := b.say(t, "a", "new")
				if b.Trouble("words/a") != "" || !b.AwaitStored(t.Context(), "words/a") || !b.Stored("words/a") || stored(t, d, "a")["say"] != "new" {
					t.Errorf("a new word does not replace it: %q", b.Trouble("words/a"))
				}
				if name == "later version" && r.Seq != 41 {
					t.Errorf("its number is not heeded: %d", r.Seq)
				}
			})
		})
	}
}

func TestLongestRecordIsRead(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		d.put("words/a", `{"say":"x"}`+strings.Repeat(" ", maxRecord-11))
		d.put("words/b", `{"say":"x","seq":4503599627370495,"by":"`+strings.Repeat("n", maxBy)+`"}`)
		b.Bind(OnStorage(d))
		synctest.Wait()
		if b.reads("a") != "x" || b.reads("b") != "x" {
			t.Errorf("troubles %v", b.reported())
		}
	})
}

func TestRecordOfALaterVersionIsRefusedWithErrVersion(t *testing.T) {
	if _, err := decode(&words, "words/a", []byte(`{"say":"x","v":2}`)); !errors.Is(err, ErrVersion) {
		t.Errorf("got %v", err)
	}
	for _, by := range []string{"A-Z.a_z-09", ""} {
		if r, err := decode(&words, "words/a", []byte(`{"say":"x","by":"`+by+`","v":1}`)); err != nil || r.By != by {
			t.Errorf("%q: %v", by, err)
		}
	}
	for _, by := range []string{"a b", "ä", "a/b", "@", "[", "`", "{", ":", "/"} {
		if _, err := decode(&words, "words/a", []byte(`{"say":"x","by":"`+by+`"}`)); err == nil {
			t.Errorf("%q is taken", by)
		}
	}
}

func TestUnknownFieldsAreKept(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		d.put("words/a", `{"say":"x","note":"of a later one","more":[1,2],"v":1,"seq":3}`)
		b.Bind(OnStorage(d))
		synctest.Wait()
		b.say(t, "a", "y")
		b.AwaitStored(t.Context(), "words/a")
		if f := stored(t, d, "a"); f["note"] != "of a later one" || fmt.Sprint(f["more"]) != "[1 2]" || f["say"] != "y" || f["seq"] != 4.0 {
			t.Errorf("stored %v", f)
		}
		if _, err := b.Put("words/a", json.RawMessage(`{"say":"z","note":"mine"}`), "", time.Now()); err != nil {
			t.Fatal(err)
		}
		b.AwaitStored(t.Context(), "words/a")
		if f := stored(t, d, "a"); f["note"] != "mine" {
			t.Errorf("a field that is said is overwritten: %v", f)
		}
	})
}

func TestFieldsOfALaterVersionGoWithTheirRecord(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		d.put("words/a", `{"say":"x","only_for":"10.0.0.0/8","v":2,"seq":3}`)
		b.Bind(OnStorage(d))
		synctest.Wait()
		b.say(t, "a", "y")
		b.AwaitStored(t.Context(), "words/a")
		if f := stored(t, d, "a"); f["only_for"] != nil || f["v"] != 1.0 || f["seq"] != 4.0 {
			t.Errorf("stored %v: what it means is not known", f)
		}
	})
}

func TestRecordIsStoredOnceItCanBeReadBack(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(d))
		synctest.Wait()
		d.mu.Lock()
		d.lose = true
		d.mu.Unlock()
		b.say(t, "a", "x")
		time.Sleep(time.Minute)
		if b.Stored("words/a") || !strings.Contains(fmt.Sprint(b.reported()), errGone.Error()) {
			t.Errorf("stored %v, reported %v", b.Stored("words/a"), b.reported())
		}
		d.mu.Lock()
		d.lose = false
		d.mu.Unlock()
		time.Sleep(writeRetryMost)
		if !b.Stored("words/a") || stored(t, d, "a")["say"] != "x" {
			t.Error("not stored after all")
		}
	})
}

func TestRecordThatIsGoneIsWrittenAgainOnRequest(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(d))
		r := b.say(t, "a", "x")
		b.AwaitStored(t.Context(), "words/a")
		d.count("")
		b.repeat(t, "a", "x")
		if !b.AwaitStored(t.Context(), "words/a") || d.count("store") != 0 {
			t.Error("written though it is there")
		}
		d.mu.Lock()
		clear(d.files) // somebody has deleted wsgate/
		d.mu.Unlock()
		b.repeat(t, "a", "x")
		if b.Stored("words/a") || !b.AwaitStored(t.Context(), "words/a") || stored(t, d, "a")["seq"] != float64(r.Seq) || b.Tag("words/a") != r.Tag() {
			t.Errorf("stored %v", d.files)
		}
		d.put("words/a", `{"say":"somebody else","seq":1,"by":"n1"}`)
		b.repeat(t, "a", "x")
		if !b.AwaitStored(t.Context(), "words/a") || stored(t, d, "a")["say"] != "x" {
			t.Error("another record stands for it")
		}
	})
}

func TestStorageThatFailsIsTriedAgainUntilItTakesTheNewestWord(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(d))
		synctest.Wait()
		d.set(errors.New("read-only file system"))
		b.say(t, "a", "first")
		b.say(t, "a", "second")
		time.Sleep(10 * time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if b.AwaitStored(ctx, "words/a") || b.Stored("words/a") {
			t.Error("stored")
		}
		n := d.count("load")
		if n < 30 || n > 60 {
			t.Errorf("tried %d times in ten minutes", n)
		}
		d.set(nil)
		time.Sleep(writeRetryMost)
		if !b.Stored("words/a") || stored(t, d, "a")["say"] != "second" {
			t.Error("not stored")
		}
	})
}

func TestRecordThatCannotBeWrittenDelaysNoOther(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		p := &picky{disk: d, refuses: at("words/bad")}
		b.Bind(OnStorage(p))
		b.say(t, "bad", "x")
		time.Sleep(time.Minute) // the pauses have grown
		began := time.Now()
		b.say(t, "good", "x")
		if !b.AwaitStored(t.Context(), "words/good") || time.Since(began) > time.Second {
			t.Errorf("waited %s", time.Since(began))
		}
		p.mu.Lock()
		p.refuses = ""
		p.mu.Unlock()
		b.AwaitStored(t.Context(), "words/bad")
	})
}

// picky is a storage that does not write one file.
type picky struct {
	*disk
	refuses string
}

func (p *picky) Store(ctx context.Context, key string, value []byte) error {
	p.mu.Lock()
	no := key == p.refuses
	p.mu.Unlock()
	if no {
		return errors.New("disk is full")
	}
	return p.disk.Store(ctx, key, value)
}

func TestReadThatHangsDelaysAStartOnceByFiveSeconds(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		d.put("words/a", `{"say":"a"}`)
		d.put("words/b", `{"say":"b"}`)
		d.put("words/c", `{"say":"c"}`)
		d.hang(func(op, key string) bool { return op == "load" && key == at("words/b") })
		began := time.Now()
		b.BindReadOnly(OnStorage(d))
		for range 10 {
			b.AwaitRead(t.Context())
		}
		b.Bind(OnStorage(d))
		b.AwaitRead(t.Context())
		if took := time.Since(began); took != ReadWait {
			t.Errorf("waited %s", took)
		}
		synctest.Wait()
		if b.reads("a") != "a" || b.reads("b") != "" || b.Stored("words/b") || b.Trouble("words/c") != "not fully read after 5s" || b.Troubles("words/") == "" {
			t.Errorf("a %q, b %q, stored %v, trouble %q", b.reads("a"), b.reads("b"), b.Stored("words/b"), b.Trouble("words/c"))
		}
		r := b.say(t, "c", "newer")
		awhile, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if b.AwaitStored(awhile, "words/c") || b.Stored("words/c") {
			t.Error("stored, and nobody could look whether it is there")
		}
		if stored(t, d, "c")["say"] != "c" {
			t.Error("written, and nobody could look what it replaces")
		}
		for range 5 {
			b.Bind(OnStorage(d)) // reloads
		}
		time.Sleep(time.Hour)
		if reads, _ := d.busiest(); reads != 1 {
			t.Errorf("%d reads at once", reads)
		}
		if reported := b.reported(); len(reported) != 2 || !strings.Contains(reported[1], errBusy.Error()) {
			t.Errorf("reported %q", reported)
		}
		d.hang(nil)
		d.release <- struct{}{}
		time.Sleep(writeRetryMost)
		synctest.Wait()
		if b.reads("b") != "b" || b.reads("c") != "newer" || b.Tag("words/c") == r.Tag() || !b.Stored("words/c") || !b.Stored("words/b") || b.Trouble("words/b") != "" {
			t.Errorf("after all: b %q, c %q, trouble %q", b.reads("b"), b.reads("c"), b.Trouble("words/b"))
		}
	})
}

func TestWordThatIsSaidBeforeTheReadingWinsOverWhatIsFound(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		d.put("words/a", `{"say":"old","seq":41,"by":"n2"}`)
		d.put("words/b", `{"say":"old","v":9,"seq":41,"by":"n2"}`)
		d.hang(func(op, key string) bool { return op == "list" })
		b.Bind(OnStorage(d))
		b.say(t, "a", "new")
		b.say(t, "b", "new")
		time.Sleep(ReadWait / 2) // the writer waits for the reading, too
		d.hang(nil)
		d.release <- struct{}{}
		synctest.Wait()
		for _, key := range []string{"a", "b"} {
			b.AwaitStored(t.Context(), "words/"+key)
			r, _ := b.Get("words/" + key)
			if b.reads(key) != "new" || r.Seq <= 41 || stored(t, d, key)["seq"] != float64(r.Seq) || stored(t, d, key)["say"] != "new" {
				t.Errorf("%s: %q, seq %d, stored %v", key, b.reads(key), r.Seq, stored(t, d, key))
			}
		}
	})
}

func TestWriteThatHangsDelaysNobody(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(d))
		synctest.Wait()
		d.hang(func(op, key string) bool { return op == "store" })
		b.say(t, "a", "x")
		b.say(t, "b", "x")
		time.Sleep(time.Hour)
		if _, writes := d.busiest(); writes != 1 || b.Stored("words/a") || b.Stored("words/b") {
			t.Errorf("%d writes at once", writes)
		}
		if reported := b.reported(); len(reported) != 1 || !strings.Contains(reported[0], "no answer after 11s") {
			t.Errorf("reported %q", reported)
		}
		began := time.Now()
		b.Flush(t.Context())
		if took := time.Since(began); took > 10*time.Millisecond {
			t.Errorf("an exit waits %s for a write that hangsAfter", took)
		}
		d.hang(nil)
		d.release <- struct{}{}
		synctest.Wait()
		if !b.Stored("words/a") || !b.Stored("words/b") {
			t.Error("not stored after all")
		}
	})
}

func TestFlushWaitsForWhatIsBeingWritten(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		began := time.Now()
		b.Flush(t.Context()) // nowhere to write to
		b.Bind(OnStorage(d))
		b.AwaitRead(t.Context())
		d.hang(func(op, key string) bool { return op == "store" })
		b.say(t, "a", "x")
		go func() { time.Sleep(time.Second); d.hang(nil); d.release <- struct{}{} }()
		b.Flush(t.Context())
		if took := time.Since(began); !b.Stored("words/a") || took < time.Second || took > 1100*time.Millisecond {
			t.Errorf("stored %v after %s", b.Stored("words/a"), took)
		}
	})
}

func TestFailedStartForgetsWhatItRead(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		d.put("words/a", `{"say":"a"}`)
		b.say(t, "mine", "x")
		b.BindReadOnly(OnStorage(d))
		b.AwaitRead(t.Context())
		synctest.Wait()
		if b.reads("a") != "a" || d.count("store") != 0 {
			t.Errorf("read %q, or written before it may", b.reads("a"))
		}
		if gone := b.UnbindReadOnly(); !slices.Equal(gone, []string{"words/a"}) {
			t.Errorf("forgot %v", gone)
		}
		if gone := b.UnbindReadOnly(); gone != nil {
			t.Errorf("forgot %v, twice", gone)
		}
		if b.reads("a") != "" || b.reads("mine") != "x" {
			t.Errorf("a %q, mine %q", b.reads("a"), b.reads("mine"))
		}
		if c := b.changed(); !slices.Equal(c, []string{"words/a"}) {
			t.Errorf("watchers called for %v", c)
		}
		other := newDisk()
		b.Bind(OnStorage(named{other, "other"}))
		b.UnbindReadOnly() // not readOnly any more
		synctest.Wait()
		if b.reads("a") != "" || stored(t, other, "mine")["say"] != "x" {
			t.Error("records of a configuration that never was are in force")
		}
	})
}

func TestPlaceThatWasLentIsReadOnce(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.BindReadOnly(OnStorage(d))
		b.BindReadOnly(OnStorage(newDisk()))
		b.AwaitRead(t.Context())
		b.Bind(OnStorage(d))
		synctest.Wait()
		if n := d.count("list"); n != 1 {
			t.Errorf("read %d times", n)
		}
		b.Bind(nil)
		synctest.Wait()
		if n := d.count("list"); n != 0 {
			t.Errorf("no place: read %d times", n)
		}
		b.Bind(OnStorage(d)) // a reload
		synctest.Wait()
		if n := d.count("list"); n != 1 {
			t.Errorf("read %d times", n)
		}
	})
}

func TestReloadTakesOnlyLaterRecords(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		d.put("words/later", `{"say":"1","seq":4,"by":"n1"}`)
		d.put("words/tie", `{"say":"1","seq":4,"by":"n1"}`)
		d.put("words/earlier", `{"say":"1","seq":4,"by":"n1"}`)
		d.put("words/gone", `{"say":"1","seq":4,"by":"n1"}`)
		b.Bind(OnStorage(d))
		synctest.Wait()
		b.say(t, "mine", "mine")
		b.AwaitStored(t.Context(), "words/mine")
		b.changed()
		d.put("words/later", `{"say":"2","seq":5,"by":"n0"}`)
		d.put("words/tie", `{"say":"2","seq":4,"by":"n2"}`)
		d.put("words/earlier", `{"say":"2","seq":3,"by":"n9"}`)
		d.put("words/new", `{"say":"2","seq":1,"by":"n9"}`)
		d.put("words/mine", `{"say":"2","seq":9,"by":"n2"}`)
		d.mu.Lock()
		delete(d.files, at("words/gone"))
		d.mu.Unlock()
		time.Sleep(time.Hour)
		if b.reads("later") != "1" {
			t.Error("the place is polled")
		}
		b.Bind(OnStorage(d))
		synctest.Wait()
		for key, want := range map[string]string{"later": "2", "tie": "2", "earlier": "1", "gone": "1", "new": "2", "mine": "2"} {
			if got := b.reads(key); got != want {
				t.Errorf("%s: %q, want %q", key, got, want)
			}
		}
		if c := b.changed(); !slices.Equal(c, []string{"words/later", "words/mine", "words/new", "words/tie"}) {
			t.Errorf("watchers called for %v", c)
		}
	})
}

func TestMoveTakesItsOwnRecordsAlongAndReadsTheOthers(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		d.put("words/read", `{"say":"old place","seq":99,"by":"n9"}`)
		d.put("words/only", `{"say":"old place","seq":99,"by":"n9"}`)
		d.put("words/nameless", `{"say":"old place"}`)
		b.Bind(OnStorage(named{d, "old"}))
		synctest.Wait()
		b.say(t, "said", "mine")
		b.say(t, "alone", "mine")
		b.say(t, "broken", "mine")
		synctest.Wait()
		other := newDisk()
		other.put("words/read", `{"say":"new place","seq":2,"by":"n1"}`)
		other.put("words/said", `{"say":"new place","seq":7,"by":"n2"}`)
		other.put("words/broken", `{"say":"new place","seq":7,"v":4}`)
		other.put("words/more", `{"say":"new place"}`)
		other.put("words/nameless", `{"say":"new place"}`)
		other.hang(func(op, key string) bool { return op == "list" })
		b.changed()
		b.Bind(OnStorage(named{other, "new"}))
		synctest.Wait()
		if b.reads("read") != "old place" || b.reads("only") != "old place" || b.Stored("words/read") || b.Stored("words/said") {
			t.Error("forgotten before the new place was read")
		}
		other.hang(nil)
		other.release <- struct{}{}
		synctest.Wait()
		for key, want := range map[string]string{"read": "new place", "only": "", "said": "mine", "alone": "mine", "more": "new place", "broken": "mine", "nameless": "new place"} {
			if got := b.reads(key); got != want || !b.Stored("words/"+key) {
				t.Errorf("%s: %q, want %q, stored %v", key, got, want, b.Stored("words/"+key))
			}
		}
		if c := b.changed(); !slices.Contains(c, "words/nameless") {
			t.Errorf("watchers called for %v", c)
		}
		for key, seq := range map[string]float64{"said": 8, "alone": 1, "broken": 8} {
			if f := stored(t, other, key); f["seq"] != seq || f["say"] != "mine" {
				t.Errorf("%s: %v, want seq %v", key, f, seq)
			}
		}
		if _, there := other.get("words/only"); there {
			t.Error("what nobody has said here was taken along")
		}
		close(other.release)
	})
}

func TestMoveToAPlaceThatCannotBeReadKeepsWhatIsKnown(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		d.put("words/read", `{"say":"old place"}`)
		b.Bind(OnStorage(named{d, "old"}))
		synctest.Wait()
		other := newDisk()
		other.set(errors.New("permission denied"))
		b.Bind(OnStorage(named{other, "new"}))
		synctest.Wait()
		if b.reads("read") != "old place" || b.Stored("words/read") || !strings.Contains(b.Trouble("words/read"), "permission denied") {
			t.Errorf("%q, trouble %q", b.reads("read"), b.Trouble("words/read"))
		}
		other.set(nil)
		time.Sleep(readRetry)
		synctest.Wait()
		if b.reads("read") != "" || b.Trouble("words/read") != "" {
			t.Errorf("%q, trouble %q", b.reads("read"), b.Trouble("words/read"))
		}
	})
}

func TestOldPlaceThatHangsDoesNotDelayTheNewOne(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(named{d, "old"}))
		synctest.Wait()
		d.hang(func(string, string) bool { return true })
		b.say(t, "a", "x")
		b.Bind(OnStorage(named{d, "old"})) // a reload: its reading hangsAfter, too
		time.Sleep(time.Minute)
		other := newDisk()
		b.Bind(OnStorage(named{other, "new"}))
		if !b.AwaitStored(t.Context(), "words/a") || stored(t, other, "a")["say"] != "x" {
			t.Error("not stored in the new place")
		}
		b.Bind(OnStorage(named{d, "old"})) // back: what hung there still does
		time.Sleep(time.Minute)
		if reads, writes := d.busiest(); reads != 1 || writes > 1 {
			t.Errorf("%d reads and %d writes at once", reads, writes)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.lanes) > 2 {
			t.Errorf("%d lanes are kept", len(b.lanes))
		}
	})
}

func TestPlaceThatCannotBeReadIsTriedAgainAndReportedOnce(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		d.put("words/a", `{"say":"a"}`)
		d.set(errors.New("stale NFS handle"))
		b.Bind(OnStorage(d))
		synctest.Wait()
		if b.Stored("words/a") || !strings.Contains(b.Trouble("words/a"), "stale NFS handle") {
			t.Errorf("trouble %q", b.Trouble("words/a"))
		}
		d.count("")
		for range 5 {
			b.Bind(OnStorage(d))
			synctest.Wait()
		}
		d.count("")
		time.Sleep(10*readRetry + time.Millisecond)
		if n := d.count("list"); n != 10 {
			t.Errorf("read %d times in ten periods", n)
		}
		if reported := b.reported(); len(reported) != 1 {
			t.Errorf("reported %q", reported)
		}
		d.set(nil)
		time.Sleep(readRetry)
		synctest.Wait()
		if b.reads("a") != "a" || b.Trouble("words/a") != "" || !b.Stored("words/a") {
			t.Errorf("%q, trouble %q", b.reads("a"), b.Trouble("words/a"))
		}
		d.count("")
		time.Sleep(time.Hour)
		if n := d.count("list"); n != 0 {
			t.Errorf("read %d times more", n)
		}
	})
}

func TestRecordThatIsMendedIsTakenAndItsTroubleEnds(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		d.put("words/a", `{"say":`)
		d.put("words/b", `{"say":`)
		b.Bind(OnStorage(d))
		time.Sleep(time.Hour)
		if n := d.count("list"); n < 60 || n > 70 {
			t.Errorf("read %d times in an hour", n)
		}
		d.put("words/a", `{"say":"mended"}`)
		d.mu.Lock()
		delete(d.files, at("words/b"))
		d.mu.Unlock()
		time.Sleep(readRetryMost)
		if b.reads("a") != "mended" || b.Trouble("words/a") != "" || b.Trouble("words/b") != "" || !b.Stored("words/b") || b.Troubles("words/") != "" {
			t.Errorf("%q, troubles %q and %q", b.reads("a"), b.Trouble("words/a"), b.Trouble("words/b"))
		}
		if reported := b.reported(); len(reported) != 2 {
			t.Errorf("reported %q", reported)
		}
	})
}

func TestRecordThatBreaksLaterStaysInForceAsItWasKnown(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		d.put("words/a", `{"say":"a"}`)
		b.Bind(OnStorage(d))
		synctest.Wait()
		d.put("words/a", `junk`)
		b.Bind(OnStorage(d))
		synctest.Wait()
		if b.reads("a") != "a" || b.Trouble("words/a") == "" || b.Stored("words/a") {
			t.Errorf("%q, trouble %q", b.reads("a"), b.Trouble("words/a"))
		}
	})
}

func ending(text string, at time.Time) json.RawMessage {
	raw, _ := json.Marshal(map[string]any{"say": text, "ends": at})
	return raw
}

func TestRecordIsRemovedWhenItEnds(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		d.put("words/long ago", string(ending("x", time.Now().Add(-time.Hour))))
		d.put("words/now", string(ending("x", time.Now())))
		d.put("words/soon", string(ending("x", time.Now().Add(90*time.Second))))
		b.Bind(OnStorage(d))
		synctest.Wait()
		for _, key := range []string{"long ago", "now"} {
			if _, there := d.get("words/" + key); there || b.reads(key) != "" {
				t.Errorf("%s: there %v, in force %q", key, there, b.reads(key))
			}
		}
		if c := b.changed(); !slices.Equal(c, []string{"words/soon"}) {
			t.Errorf("watchers called for %v", c)
		}
		for _, end := range []time.Duration{24 * time.Hour, time.Second, time.Hour} {
			if _, err := b.Put("words/"+end.String(), ending("x", time.Now().Add(end)), "", time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(1100 * time.Millisecond)
		if b.reads("1s") != "" || b.reads("soon") == "" {
			t.Errorf("after a second: %q, soon %q", b.reads("1s"), b.reads("soon"))
		}
		time.Sleep(90 * time.Second)
		if _, there := d.get("words/soon"); there || b.reads("soon") != "" || b.reads("24h0m0s") == "" || b.Tag("words/soon") != NoTag {
			t.Errorf("there %v, in force %q", there, b.reads("soon"))
		}
		if c := b.changed(); !slices.Equal(c, []string{"words/1s", "words/soon"}) {
			t.Errorf("watchers called for %v", c)
		}
		time.Sleep(25 * time.Hour)
		d.mu.Lock()
		left := len(d.files)
		d.mu.Unlock()
		b.mu.Lock()
		entries, sweep := len(b.entries), b.Ledger.sweep
		b.mu.Unlock()
		if left > 0 || entries > 0 || sweep != nil {
			t.Errorf("left: %d files, %d entries", left, entries)
		}
		if r := b.say(t, "1s", "x"); r.Seq <= 1 {
			t.Errorf("number %d names two records", r.Seq)
		}
	})
}

func TestEndOfARecordDoesNotRemoveALaterOneOfAnotherNode(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(d))
		synctest.Wait()
		if _, err := b.Put("words/a", ending("x", time.Now().Add(time.Minute)), "", time.Now()); err != nil {
			t.Fatal(err)
		}
		b.AwaitStored(t.Context(), "words/a")
		d.put("words/a", `{"say":"theirs","seq":2,"by":"n2"}`)
		d.put("words/b", `junk`)
		time.Sleep(2 * time.Minute)
		if b.reads("a") != "theirs" || stored(t, d, "a")["say"] != "theirs" {
			t.Errorf("in force %q, stored %v", b.reads("a"), d.files)
		}
		b.Bind(OnStorage(d))
		synctest.Wait()
		if b.reads("a") != "theirs" {
			t.Errorf("in force %q", b.reads("a"))
		}
	})
}

func TestReloadWhileAnEndIsNotStoredYetDoesNotBringTheRecordBack(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(d))
		if _, err := b.Put("words/a", ending("x", time.Now().Add(time.Minute)), "", time.Now()); err != nil {
			t.Fatal(err)
		}
		b.AwaitStored(t.Context(), "words/a")
		d.hang(func(op, key string) bool { return op == "delete" })
		time.Sleep(time.Minute)
		synctest.Wait()
		b.Bind(OnStorage(d))
		time.Sleep(time.Second)
		if b.reads("a") != "" {
			t.Error("back from the dead")
		}
		d.put("words/a", `{"say":"theirs","seq":5,"by":"n2"}`)
		b.Bind(OnStorage(d))
		time.Sleep(time.Second)
		d.hang(nil)
		d.release <- struct{}{}
		time.Sleep(time.Second)
	})
}

func TestEndedRecordThatTheOldPlaceStillHasIsRemovedInTheNewOne(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(named{d, "old"}))
		if _, err := b.Put("words/a", ending("x", time.Now().Add(time.Minute)), "", time.Now()); err != nil {
			t.Fatal(err)
		}
		b.AwaitStored(t.Context(), "words/a")
		d.set(errors.New("read-only"))
		time.Sleep(time.Minute)
		synctest.Wait()
		other := newDisk()
		other.put("words/a", `{"say":"old","seq":9,"by":"n2"}`)
		b.Bind(OnStorage(named{other, "new"}))
		b.AwaitStored(t.Context(), "words/a")
		if _, there := other.get("words/a"); there || b.reads("a") != "" {
			t.Errorf("there %v, in force %q", there, b.reads("a"))
		}
	})
}

func TestLastValidNameOfTheNodeCounts(t *testing.T) {
	b := newBoard()
	b.SetBy("")
	b.SetBy("with space")
	if r := b.say(t, "a", "x"); r.By != "n1" {
		t.Errorf("by %q", r.By)
	}
	b.SetBy("2ab6f7c6-2f7f-4bb2-8c9b-4b5ef0ad2f55")
	if r := b.say(t, "a", "y"); r.By != "2ab6f7c6-2f7f-4bb2-8c9b-4b5ef0ad2f55" || r.Seq != 2 {
		t.Errorf("by %q", r.By)
	}
}

func TestWithoutAPlaceEverythingWaits(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.AwaitRead(t.Context())
		b.say(t, "a", "x")
		b.repeat(t, "a", "x")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if b.AwaitStored(ctx, "words/a") || b.Stored("words/a") || !b.Stored("words/b") || b.Trouble("words/b") != "" {
			t.Error("stored nowhere")
		}
		b.Bind(OnStorage(d))
		if !b.AwaitStored(t.Context(), "words/a") {
			t.Error("not stored")
		}
	})
}

func TestRecordThatSomebodyRemovedIsWrittenAgainAtTheNextLoad(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		d.put("words/read", fmt.Sprintf(`{"say":"read","seq":3,"by":"n2","v":1,"said_at":%q}`, time.Now().Add(-23*time.Hour).Format(time.RFC3339)))
		d.put("words/old", fmt.Sprintf(`{"say":"old","seq":3,"by":"n2","v":1,"said_at":%q}`, time.Now().Add(-25*time.Hour).Format(time.RFC3339)))
		b.Bind(OnStorage(d))
		synctest.Wait()
		b.say(t, "said", "mine")
		synctest.Wait()
		d.mu.Lock()
		clear(d.files)
		d.mu.Unlock()
		b.Bind(OnStorage(d)) // a reload
		synctest.Wait()
		for key, stored := range map[string]bool{"read": true, "said": true, "old": false} {
			if _, there := d.get("words/" + key); b.reads(key) == "" || b.Stored("words/"+key) != stored || there != stored {
				t.Errorf("%s: in force %q, stored %v, there %v", key, b.reads(key), b.Stored("words/"+key), there)
			}
		}
		b.repeat(t, "old", "old") // said again
		synctest.Wait()
		if _, there := d.get("words/old"); !there || !b.Stored("words/old") {
			t.Error("it is said again, and not stored")
		}
	})
}

// second is another process on the same disk.
func second(t *testing.T, d *disk) *board {
	t.Helper()
	b := newBoard()
	b.SetBy("n2")
	b.Bind(OnStorage(d))
	synctest.Wait()
	return b
}

func TestWordOfAProcessThatDoesNotKnowTheLatestGetsAHigherNumber(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(d))
		other := second(t, d) // which reads nothing more
		b.say(t, "a", "first")
		b.say(t, "a", "second")
		synctest.Wait()
		time.Sleep(time.Second)
		other.say(t, "a", "theirs")
		synctest.Wait()
		if f := stored(t, d, "a"); f["say"] != "theirs" || f["seq"] != 3.0 || f["by"] != "n2" || !other.Stored("words/a") {
			t.Errorf("there is %v, stored %v", f, other.Stored("words/a"))
		}
		if r, _ := other.Get("words/a"); r.Seq != 3 {
			t.Errorf("in force with the number %d", r.Seq)
		}
		b.Bind(OnStorage(d)) // a reload
		synctest.Wait()
		if b.reads("a") != "theirs" || b.Tag("words/a") != other.Tag("words/a") {
			t.Errorf("after a reload %q %s, want %s", b.reads("a"), b.Tag("words/a"), other.Tag("words/a"))
		}
	})
}

func TestWordThatCouldNotBeStoredGivesWayToALaterOne(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(d))
		synctest.Wait()
		d.set(errors.New("full"))
		b.say(t, "a", "mine")
		time.Sleep(time.Minute)
		d.put("words/a", fmt.Sprintf(`{"say":"theirs","seq":7,"by":"n2","v":1,"said_at":%q}`, time.Now().Format(time.RFC3339)))
		d.set(nil)
		time.Sleep(writeRetryMost)
		synctest.Wait()
		if b.reads("a") != "theirs" || stored(t, d, "a")["say"] != "theirs" || !b.Stored("words/a") {
			t.Errorf("in force %q, there %v", b.reads("a"), stored(t, d, "a"))
		}
	})
}

func TestReloadRepairsARecordThatAnEarlierOneHasReplaced(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		b.Bind(OnStorage(d))
		for _, text := range []string{"1", "2", "3"} {
			b.say(t, "a", text)
			b.say(t, "tie", text)
			b.say(t, "nameless", text)
		}
		synctest.Wait()
		d.put("words/a", `{"say":"theirs","seq":2,"by":"n2","v":1}`)
		d.put("words/tie", `{"say":"theirs","seq":3,"by":"a","v":1}`)
		d.put("words/nameless", `{"say":"theirs"}`) // an older wsgate
		b.Bind(OnStorage(d))
		synctest.Wait()
		for key, want := range map[string]string{"a": "3", "tie": "3", "nameless": "theirs"} {
			if b.reads(key) != want || stored(t, d, key)["say"] != want || !b.Stored("words/"+key) {
				t.Errorf("%s: in force %q, there %v, stored %v", key, b.reads(key), stored(t, d, key), b.Stored("words/"+key))
			}
		}
		if seq := stored(t, d, "tie")["seq"]; seq != 4.0 {
			t.Errorf("the tie was decided with the number %v", seq)
		}
		if r := b.say(t, "nameless", "mine"); r.Seq != 4 {
			t.Errorf("the next number is %d", r.Seq)
		}
		synctest.Wait()
	})
}

func TestWaitForAReadingEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		d.hang(func(op, _ string) bool { return op == "list" })
		b.Bind(OnStorage(d))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		b.AwaitRead(ctx)
		if took := time.Since(began); took != time.Second {
			t.Errorf("waited %s", took)
		}
		d.hang(nil)
		d.release <- struct{}{}
		synctest.Wait()
	})
}

func TestBindReportsAMove(t *testing.T) {
	bubble(t, func(t *testing.T, b *board, d *disk) {
		for i, tt := range []struct {
			name  string
			moved bool
		}{{"one", false}, {"one", false}, {"two", true}, {"two", false}, {"one", true}} {
			if moved := b.Bind(OnStorage(named{d, tt.name})); moved != tt.moved {
				t.Errorf("%d: moved %v", i, moved)
			}
			synctest.Wait()
		}
		if b.Bind(nil) {
			t.Error("nowhere is no place")
		}
	})
}
