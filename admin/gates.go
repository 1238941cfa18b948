package admin

import (
	"fmt"
	"math"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/wsgate/wsgate/gate"
	"github.com/wsgate/wsgate/internal/registry"
	"github.com/wsgate/wsgate/internal/wire"
)

func listGates(w http.ResponseWriter, _ *http.Request) error {
	all := registry.Statuses(time.Now())
	list := make([]wire.Gate, len(all))
	for i, s := range all {
		list[i] = wire.GateOf(s)
	}
	return reply(w, "", list)
}

func getGate(w http.ResponseWriter, r *http.Request) error {
	s, err := registry.StatusOf(r.PathValue("name"), time.Now())
	if err != nil {
		return explain(err)
	}
	return reply(w, s.ETag, wire.GateOf(s))
}

// switchGate switches the gate. It answers when the switch is stored, and after
// 5 s at the latest.
func switchGate(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	req, err := readSwitch(w, r)
	if err != nil {
		return err
	}
	s, err := registry.Switch(r.Context(), name, req)
	if err != nil {
		return explain(err)
	}
	reason := req.Reason
	if o := s.Override; o != nil && o.Mode == req.Mode { // the reason may be that of the switch before
		reason = o.Reason
	}
	registry.LogSwitch(name, line("gate switched", zap.String("gate", name), zap.String("mode", string(req.Mode)),
		zap.String("reason", reason), zap.String("actor", req.Actor), zap.String("from", req.From),
		zap.Duration("ttl", req.TTL), zap.Any("closing", wire.ClosingOf(req.Closing)), zap.Bool("stored", s.Stored)))
	return reply(w, s.ETag, wire.Switched{Gate: wire.GateOf(s.Status), Replaced: wire.OverrideOf(s.Replaced)})
}

// readSwitch reads the body of a switch. It refuses fields with a wrong form;
// the registry checks lengths and limits.
func readSwitch(w http.ResponseWriter, r *http.Request) (registry.SwitchRequest, error) {
	req := registry.SwitchRequest{From: callerAddress(r), IfMatch: ifMatch(r)}
	o, err := readObject(w, r, "mode", "reason", "actor", "ttl", "closing")
	if err != nil {
		return req, err
	}
	if req.Mode, err = readMode(o); err != nil {
		return req, err
	}
	if req.Reason, err = o.text("reason"); err != nil {
		return req, err
	}
	req.NoReason = o.has("reason") && req.Reason == ""
	if req.Actor, err = o.text("actor"); err != nil {
		return req, err
	}
	if err = readEnd(o, &req); err != nil {
		return req, err
	}
	if !o.has("closing") {
		return req, nil
	}
	if req.Mode != gate.Off {
		return req, o.invalid("closing", "belongs to mode off: "+string(req.Mode)+" closes nothing by itself")
	}
	req.Closing, err = readClosing(o)
	return req, err
}

// readEnd reads ttl: a duration, or "never".
func readEnd(o object, req *registry.SwitchRequest) (err error) {
	switch {
	case !o.has("ttl"):
		return nil
	case req.Mode == gate.Auto:
		return o.invalid("ttl", "auto has no end: leave it out")
	case string(o.fields["ttl"]) == `"`+wire.Never+`"`:
		req.NoEnd = true
		return nil
	}
	if req.TTL, err = o.duration("ttl"); err == nil && req.TTL == 0 {
		return o.invalid("ttl", `0s: want 1s to 8760h, or "never"`)
	}
	return err
}

func readMode(o object) (gate.Mode, error) {
	s, err := o.text("mode")
	if err != nil {
		return "", err
	}
	if s == "" {
		return "", o.invalid("mode", "missing: want auto, on or off")
	}
	m, err := gate.ParseMode(s)
	if err != nil {
		return "", o.invalid("mode", fmt.Sprintf("%s: want auto, on or off", wire.Clip(s)))
	}
	return m, nil
}

// readClosing reads {"policy":"keep"} or {"policy":"drain",…}. A drain without
// a deadline has 30 s.
func readClosing(outer object) (*gate.Closing, error) {
	o, err := parseObject(outer.fields["closing"], "closing.", "policy", "deadline", "code", "reason")
	if err != nil {
		return nil, err
	}
	policy, err := o.text("policy")
	if err != nil {
		return nil, err
	}
	switch policy {
	case "keep":
		for _, name := range []string{"deadline", "code", "reason"} {
			if o.has(name) {
				return nil, o.invalid(name, "belongs to policy drain: keep closes nothing")
			}
		}
		return new(gate.Closing), nil
	case "drain":
		return readDrain(o)
	case "":
		return nil, o.invalid("policy", "missing: want keep or drain")
	}
	return nil, o.invalid("policy", wire.Clip(policy)+": want keep or drain")
}

func readDrain(o object) (*gate.Closing, error) {
	c := &gate.Closing{Drain: true, Deadline: gate.DefaultDeadline}
	var err error
	if o.has("deadline") {
		if c.Deadline, err = o.duration("deadline"); err != nil {
			return nil, err
		}
	}
	if o.has("code") {
		code, err := o.integer("code")
		if err != nil {
			return nil, err
		}
		if code <= 0 || code > math.MaxUint16 { // zero would mean the default
			return nil, explain(registry.InvalidCloseCode(code))
		}
		c.Code = uint16(code)
	}
	c.Reason, err = o.text("reason")
	return c, err
}
