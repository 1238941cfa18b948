package admin

import (
	"net/http"

	"go.uber.org/zap"

	"github.com/wsgate/wsgate/internal/registry"
	"github.com/wsgate/wsgate/internal/wire"
)

func listFlags(w http.ResponseWriter, _ *http.Request) error {
	all := make(map[string]wire.Flag)
	for name, f := range registry.Flags() {
		all[name] = wire.FlagOf(f)
	}
	return reply(w, "", all)
}

func getFlag(w http.ResponseWriter, r *http.Request) error {
	f, err := registry.FlagOf(r.PathValue("name"))
	if err != nil {
		return explain(err)
	}
	return reply(w, f.ETag, wire.FlagOf(f))
}

func putFlag(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	if err := registry.ValidFlagName(name); err != nil {
		return refuse(http.StatusBadRequest, "flag name %s: want 1 to 128 letters, digits and underscores, not beginning with a digit", wire.Clip(name))
	}
	o, err := readObject(w, r, "value", "stored") // the fields of a GET's answer; the value of stored is ignored
	if err != nil {
		return err
	}
	if o.has("stored") && !o.isBool("stored") {
		return o.invalid("stored", "want true or false, or leave it out: it is for the server to say")
	}
	if !o.has("value") {
		return o.invalid("value", `missing: want {"value":"1"}`)
	}
	value, err := o.text("value")
	if err != nil {
		return err
	}
	f, err := registry.SetFlag(r.Context(), name, value, ifMatch(r))
	if err != nil {
		return explain(err)
	}
	registry.Log(line("flag set", zap.String("flag", name), zap.String("from", callerAddress(r)), zap.Bool("stored", f.Stored)))
	return reply(w, f.ETag, wire.Flag{Value: f.Value, Stored: &f.Stored})
}

func deleteFlag(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	stored, err := registry.DeleteFlag(r.Context(), name, ifMatch(r))
	if err != nil {
		return explain(err)
	}
	registry.Log(line("flag unset", zap.String("flag", name), zap.String("from", callerAddress(r)), zap.Bool("stored", stored)))
	return reply(w, "", struct {
		Stored bool `json:"stored"`
	}{stored})
}
