package upstream

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// lookup is a source that waits and ignores the request's context.
type lookup struct {
	until chan struct{}
	reset bool
}

func (l *lookup) GetUpstreams(*http.Request) ([]*reverseproxy.Upstream, error) {
	<-l.until
	return []*reverseproxy.Upstream{{Dial: "127.0.0.1:80"}}, errors.New("found")
}

func (l *lookup) ResetCache(*http.Request) error { l.reset = true; return nil }

func TestPromise4LookupThatHangsIsNotWaitedForWhenTheTimeIsOver(t *testing.T) {
	l := &lookup{until: make(chan struct{})}
	s := timedSource{l}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := (&http.Request{}).WithContext(ctx)
	if got, err := s.GetUpstreams(r); len(got) > 0 || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	close(l.until)
	if got, err := s.GetUpstreams(r.WithContext(t.Context())); len(got) != 1 || err == nil {
		t.Errorf("got %v, %v", got, err)
	}
	if err := s.ResetCache(r); err != nil || !l.reset {
		t.Error("the cache is not reset")
	}
}
