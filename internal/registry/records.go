package registry

import (
	"context"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/wsgate/wsgate/internal/ledger"
)

// Storage is the part of certmagic.Storage, Caddy's storage, that the registry
// needs. A missing key is fs.ErrNotExist.
type Storage = ledger.Storage

const (
	gatesPrefix = "gates/"
	flagsPrefix = "flags/"
)

// storeWait is how long an operator's call waits for the storage.
const storeWait = 5 * time.Second

// newLedger returns a ledger of switches and flags that calls the registry when
// a record has changed.
func (r *registry) newLedger() *ledger.Ledger {
	l := ledger.New(processName, ledger.Reports{Unreadable: logUnreadable, Broken: logBroken, Unwritten: logUnwritten}, overrides, flags)
	l.Watch(gatesPrefix, func(key string) { r.adopt(strings.TrimPrefix(key, gatesPrefix)) })
	l.Watch(flagsPrefix, func(key string) { r.flags.adopt(strings.TrimPrefix(key, flagsPrefix)) })
	return l
}

// adopt puts a gate's record in force, in another goroutine, so that the reader
// need not wait.
func (r *registry) adopt(name string) {
	r.mu.Lock()
	e := r.entries[name]
	r.mu.Unlock()
	if e != nil {
		time.AfterFunc(0, e.adopt)
	}
}

// placeOf returns the place of records in a storage. Nil: there is none.
func placeOf(s Storage) ledger.Place {
	if s == nil {
		return nil
	}
	return ledger.OnStorage(s)
}

// storeWait returns a context for an operator's call that waits for the storage:
// it ends after 5 s, when ctx ends, or when the process exits.
func (r *registry) storeWait(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	stop := context.AfterFunc(r.exits, cancel)
	return ctx, func() { stop(); cancel() }
}

// readPoll is how often a wait for the storage checks whether the process
// exits. Caddy waits for a load under way before it stops the apps.
const readPoll = 50 * time.Millisecond

// awaitRead returns when the storage was read or could not be read, after 5 s,
// or when the process exits.
func (r *registry) awaitRead() {
	ctx, cancel := whileRunning()
	defer cancel()
	r.ledger.AwaitRead(ctx)
}

// whileRunning returns a context that ends when the process exits, or after 5
// s.
func whileRunning() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), storeWait)
	go func() {
		tick := time.NewTicker(readPoll)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if caddy.Exiting() {
					cancel()
				}
			}
		}
	}()
	return ctx, cancel
}

func logUnreadable(err error) {
	logLine(zapcore.ErrorLevel, "reading the storage failed, gates follow their configuration and flags the environment", zap.Error(err))
}

func logBroken(key string, err error) {
	if name, ok := strings.CutPrefix(key, gatesPrefix); ok {
		logLine(zapcore.ErrorLevel, "reading the stored switch failed, the gate follows its configuration", zap.String("gate", name), zap.Error(err))
		return
	}
	logLine(zapcore.ErrorLevel, "reading a stored flag failed", zap.String("flag", strings.TrimPrefix(key, flagsPrefix)), zap.Error(err))
}

func logUnwritten(key string, after time.Duration, err error) {
	logLine(zapcore.ErrorLevel, "storing failed, trying again",
		zap.String("key", ledger.StorageKey(key)), zap.Duration("after", after), zap.Error(err))
}
