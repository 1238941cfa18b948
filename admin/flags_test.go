package admin

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/registry"
	"github.com/wsgate/wsgate/internal/testadmin"
	"github.com/wsgate/wsgate/internal/wire"
)

func TestAFlagIsSetReadAndRemoved(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{})
	testadmin.Flag(t, "LIFE_OF_A_FLAG")
	const path = "/wsgate/flags/LIFE_OF_A_FLAG"
	put := call(t, "PUT", path, `{"value":"hunter2"}`)
	if put.status != http.StatusOK || strings.TrimSpace(put.body) != `{"value":"hunter2","stored":true}` {
		t.Fatalf("PUT: %d %s", put.status, put.body)
	}
	if v, ok := registry.Flag("LIFE_OF_A_FLAG"); v != "hunter2" || !ok {
		t.Errorf("the flag is %q, %v", v, ok)
	}
	get := call(t, "GET", path, "")
	if strings.TrimSpace(get.body) != `{"value":"hunter2"}` || get.header.Get("ETag") != put.header.Get("ETag") {
		t.Errorf("GET: %s, ETag %s after %s", get.body, get.header.Get("ETag"), put.header.Get("ETag"))
	}
	if again := call(t, "PUT", path, get.body); again.status != http.StatusOK {
		t.Errorf("what was read cannot be written: %d %s", again.status, again.body)
	}
	all := decode[map[string]wire.Flag](t, call(t, "GET", "/wsgate/flags", ""))
	if all["LIFE_OF_A_FLAG"].Value != "hunter2" {
		t.Errorf("all flags: %v", all)
	}
	checkRefusal(t, call(t, "GET", "/wsgate/flags/OTHER", ""), http.StatusNotFound, "there is LIFE_OF_A_FLAG")

	if del := call(t, "DELETE", path, ""); del.status != http.StatusOK || strings.TrimSpace(del.body) != `{"stored":true}` {
		t.Errorf("DELETE: %d %s", del.status, del.body)
	}
	if _, ok := registry.Flag("LIFE_OF_A_FLAG"); ok {
		t.Error("the flag is still set")
	}
	checkLogs(t, "hunter2")
}

func TestNoFlagIsAnEmptyObject(t *testing.T) {
	if a := call(t, "GET", "/wsgate/flags", ""); a.status != http.StatusOK || strings.TrimSpace(a.body) != "{}" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestAFlagHasItsOwnETag(t *testing.T) {
	testadmin.Gates(t, map[string]gate.Policy{})
	testadmin.Flag(t, "TAGGED")
	const path = "/wsgate/flags/TAGGED"
	for _, tag := range []string{`*`, `"0-"`, `"3-node"`} {
		a := call(t, "PUT", path, `{"value":"1"}`, `If-Match: `+tag)
		checkRefusal(t, a, http.StatusPreconditionFailed, "If-Match: flag \"TAGGED\" is not set, so it has no ETag: leave If-Match out")
	}
	first := call(t, "PUT", path, `{"value":"1"}`).header.Get("ETag")
	second := call(t, "PUT", path, `{"value":""}`, "If-Match: "+first)
	if second.status != http.StatusOK || second.header.Get("ETag") == first {
		t.Fatalf("%d %s, ETag %s", second.status, second.body, second.header.Get("ETag"))
	}
	if a := call(t, "DELETE", path, "", "If-Match: "+first); a.status != http.StatusPreconditionFailed {
		t.Errorf("a late DELETE: %d", a.status)
	}
	if a := call(t, "DELETE", path, "", "If-Match: "+second.header.Get("ETag")); a.status != http.StatusOK {
		t.Errorf("a DELETE in time: %d %s", a.status, a.body)
	}
}

func TestAFlagThatIsNotStoredSaysSo(t *testing.T) {
	mem := testadmin.Gates(t, map[string]gate.Policy{})
	testadmin.Flag(t, "UNSTORED")
	mem.BreakDown(true)
	t.Cleanup(func() { mem.BreakDown(false) })
	r := newRequest(t, "PUT", "/wsgate/flags/UNSTORED", `{"value":"1"}`)
	ctx, cancel := context.WithCancel(r.Context())
	cancel() // the operator does not wait for the 5 seconds
	w, err := serve(r.WithContext(ctx))
	if err != nil || strings.TrimSpace(w.Body.String()) != `{"value":"1","stored":false}` {
		t.Errorf("%s, %v", w.Body, err)
	}
	if a := call(t, "GET", "/wsgate/flags/UNSTORED", ""); strings.TrimSpace(a.body) != `{"value":"1","stored":false}` {
		t.Errorf("GET: %s", a.body)
	}
}
