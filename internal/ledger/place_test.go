package ledger

import (
	"context"
	"errors"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/filestorage"
)

// quiet is a storage that says nothing of itself.
type quiet struct{ Storage }

func (*quiet) MarshalJSON() ([]byte, error) { return []byte("{}"), nil }

// configured is a storage as Caddy makes one from JSON.
type configured struct {
	Storage `json:"-"`
	Address string `json:"address,omitempty"`
	Prefix  string `json:"prefix,omitempty"`
	conn    int
}

// secretive is a storage whose configuration cannot be written down.
type secretive struct {
	Storage `json:"-"`
	Address string
}

func (*secretive) MarshalJSON() ([]byte, error) { return nil, errors.New("no") }

type rude struct{ secretive }

func (*rude) MarshalJSON() ([]byte, error) { panic("no") }
func (*rude) String() string               { panic("no") }

// both has a name and a configuration.
type both struct {
	configured
	name string
}

func (b *both) String() string { return b.name }

// files is Caddy's own storage.
func files(t *testing.T, folder string) Storage {
	t.Helper()
	s, err := (&filestorage.FileStorage{Root: folder}).CertMagicStorage()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// uncomparable has a slice.
type uncomparable struct {
	Storage `json:"-"`
	Hosts   []string
}

func TestPlacesAreComparedByConfigurationAndName(t *testing.T) {
	one, two := &quiet{}, &quiet{}
	secret := &secretive{Address: "a"}
	for name, tt := range map[string]struct {
		a, b Storage
		same bool
	}{
		"one value":                               {one, one, true},
		"two values that say nothing":             {one, two, false},
		"two folders":                             {files(t, "/a"), files(t, "/b"), false},
		"one folder, by two configurations":       {files(t, "/a"), files(t, "/a"), true},
		"one configuration, two connections":      {&configured{Address: "h:1", conn: 1}, &configured{Address: "h:1", conn: 2}, true},
		"two addresses":                           {&configured{Address: "h:1"}, &configured{Address: "h:2"}, false},
		"two prefixes":                            {&configured{Address: "h:1"}, &configured{Address: "h:1", Prefix: "x"}, false},
		"nothing is configured":                   {&configured{}, &configured{}, false},
		"two types":                               {&configured{Address: "h:1"}, &secretive{Address: "h:1"}, false},
		"two names":                               {named{nil, "a"}, named{nil, "b"}, false},
		"one name":                                {named{newDisk(), "a"}, named{newDisk(), "a"}, true},
		"cannot be written down":                  {secret, &secretive{Address: "a"}, false},
		"cannot be written down, one value":       {secret, secret, true},
		"panics":                                  {&rude{}, &rude{}, false},
		"one name, two configurations":            {&both{configured{Address: "1"}, "x"}, &both{configured{Address: "2"}, "x"}, false},
		"two names, one configuration":            {&both{configured{Address: "1"}, "x"}, &both{configured{Address: "1"}, "y"}, false},
		"one name and one configuration":          {&both{configured{Address: "1"}, "x"}, &both{configured{Address: "1"}, "x"}, true},
		"values that cannot be compared, same":    {uncomparable{Hosts: []string{"a"}}, uncomparable{Hosts: []string{"a"}}, true},
		"values that cannot be compared, another": {uncomparable{Hosts: []string{"a"}}, uncomparable{Hosts: []string{"b"}}, false},
	} {
		if got := OnStorage(tt.a).Same(OnStorage(tt.b)); got != tt.same {
			t.Errorf("%s: same %v, want %v", name, got, tt.same)
		}
		if got := OnStorage(tt.b).Same(OnStorage(tt.a)); got != tt.same {
			t.Errorf("%s, turned around: same %v, want %v", name, got, tt.same)
		}
	}
	if OnStorage(one).Same(other{}) {
		t.Error("a place of another sort is the same")
	}
}

// other is a place that is no storage.
type other struct{ Place }

func TestRecordsLieInCaddysFileStorage(t *testing.T) {
	p := OnStorage(files(t, t.TempDir()))
	ctx := context.Background()
	if keys, err := p.List(ctx, "gates/"); err != nil || len(keys) != 0 {
		t.Errorf("an empty folder has %v, %v", keys, err)
	}
	if err := p.Store(ctx, "gates/chat", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if keys, err := p.List(ctx, "gates/"); err != nil || len(keys) != 1 || keys[0] != "gates/chat" {
		t.Errorf("keys %v, %v", keys, err)
	}
	if raw, err := p.Load(ctx, "gates/chat"); err != nil || string(raw) != "{}" {
		t.Errorf("%s, %v", raw, err)
	}
	for range 2 {
		if err := p.Delete(ctx, "gates/chat"); err != nil {
			t.Error(err)
		}
	}
	if StorageKey("gates/chat") != "wsgate/gates/chat.json" {
		t.Error(StorageKey("gates/chat"))
	}
}
