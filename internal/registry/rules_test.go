package registry

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wsgate/wsgate/gate"
)

// silent is a rule that does not answer until it is let go.
type silent struct {
	mu    sync.Mutex
	holds bool
	until chan struct{} // nil: it answers
	err   error
}

func (s *silent) Eval(time.Time) (bool, time.Time, error) {
	s.mu.Lock()
	holds, until, err := s.holds, s.until, s.err
	s.mu.Unlock()
	if until != nil {
		<-until
	}
	return holds, time.Time{}, err
}

func (*silent) String() string { return "silent" }

func (s *silent) set(holds bool, until chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holds, s.until, s.err = holds, until, err
}

func TestPromise3SwitchWaitsForNoRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := lonely(t)
		rule := &silent{holds: true}
		c := config(m, map[string]gate.Policy{"g": {OpenWhen: []gate.Condition{{Name: "r", Rule: rule}}}})
		Begin(c)
		e, err := reg.lookup("g")
		if err != nil {
			t.Fatal(err)
		}
		until := make(chan struct{})
		rule.set(false, until, nil)
		go e.refresh() // which waits for the rule
		synctest.Wait()
		for _, mode := range []gate.Mode{gate.Off, gate.On, gate.Off, gate.Auto} {
			began := time.Now()
			s := flip(t, "g", SwitchRequest{Mode: mode})
			if took := time.Since(began); took > 50*time.Millisecond {
				t.Errorf("%s took %s", mode, took)
			}
			if want := mode != gate.Off; (s.State == gate.Open) != want {
				t.Errorf("%s: %+v, want what the rule last said", mode, s)
			}
		}
		began := time.Now()
		next := config(m, c.Gates)
		Begin(next)
		End(c)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("a reload took %s", took)
		}
		if s := state(t, "g"); s.State != gate.Open {
			t.Errorf("after the reload: %+v, want what the rule last said", s)
		}
		close(until)
		rule.set(false, nil, nil)
		await(t, "the rule's answer to count", func() bool { return state(t, "g").State == gate.Closed })
		End(next)
	})
}

func TestPromise8AnswersOutliveAReload(t *testing.T) {
	m := lonely(t)
	rule := &silent{holds: true}
	gates := func() map[string]gate.Policy {
		return map[string]gate.Policy{"g": {OpenWhen: []gate.Condition{{Name: "r", Rule: rule}}}}
	}
	first, second := config(m, gates()), config(m, gates())
	Begin(first)
	rule.set(false, nil, errors.New("stale NFS handle"))
	Begin(second)
	End(first)
	defer End(second)
	if s := state(t, "g"); s.State != gate.Open || len(s.Problems) == 0 {
		t.Errorf("%+v, want the last known answer, and the problem", s)
	}
}

func TestPromise8RuleThatAnswersAtTheLastMomentIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lonely(t)
		e := newEntry(reg, "g")
		defer e.follow.stop()
		for round := range 20000 {
			e.look(switchPatience, func(ask bool) (l gate.Look) {
				if ask {
					time.Sleep(switchPatience) // just as long as it is waited for
				}
				return l
			})
			synctest.Wait()
			if e.rulesSilent.Load() {
				t.Fatalf("after %d rounds nobody asks the rules any more", round)
			}
		}
	})
}
