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

// Storage is what the registry needs of a certmagic.Storage, which Caddy
// configures. A missing key is fs.ErrNotExist.
type Storage = ledger.Storage

const (
	gatesPrefix = "gates/"
	flagsPrefix = "flags/"
)

// storeWait is how long an operator's call waits to hear that it was stored.
const storeWait = 5 * time.Second

// newLedger returns the ledger of the switches and flags, which a registry
// follows.
func (r *registry) newLedger() *ledger.Ledger {
	l := ledger.New(life, ledger.Reports{Unreadable: unreadable, Broken: broken, Unwritten: unwritten}, overrides, flags)
	l.Watch(gatesPrefix, func(key string) { r.adopt(strings.TrimPrefix(key, gatesPrefix)) })
	l.Watch(flagsPrefix, func(key string) { r.flags.adopt(strings.TrimPrefix(key, flagsPrefix)) })
	return l
}

// adopt has a gate follow a record that was read, or has come to its end, without
// holding up whoever reads.
func (r *registry) adopt(name string) {
	r.mu.Lock()
	e := r.entries[name]
	r.mu.Unlock()
	if e != nil {
		time.AfterFunc(0, e.adopt)
	}
}

// place is where the records of a storage lie. Nil: nowhere.
func place(s Storage) ledger.Place {
	if s == nil {
		return nil
	}
	return ledger.OnStorage(s)
}

// awaitStored returns when the newest record of a key is stored, at the latest
// after 5 s, when ctx ends, or when the process exits. It reports whether it is.
func (r *registry) awaitStored(ctx context.Context, key string) bool {
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	defer context.AfterFunc(r.exits, cancel)()
	return r.ledger.AwaitStored(ctx, key)
}

// readPoll is how often those who wait for a storage look whether the process
// exits: Caddy waits for a load that is under way before it stops us.
const readPoll = 50 * time.Millisecond

// awaitRead returns when the storage was read or could not be, at the latest
// after 5 s, or when the process exits.
func (r *registry) awaitRead() {
	ctx, cancel := whileRunning()
	defer cancel()
	r.ledger.AwaitRead(ctx)
}

// whileRunning ends when the process exits, at the latest after 5 s.
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

func unreadable(err error) {
	logLine(zapcore.ErrorLevel, "reading the storage failed, gates follow their configuration and flags the environment", zap.Error(err))
}

func broken(key string, err error) {
	if name, ok := strings.CutPrefix(key, gatesPrefix); ok {
		logLine(zapcore.ErrorLevel, "reading the stored switch failed, the gate follows its configuration", zap.String("gate", name), zap.Error(err))
		return
	}
	logLine(zapcore.ErrorLevel, "reading a stored flag failed", zap.String("flag", strings.TrimPrefix(key, flagsPrefix)), zap.Error(err))
}

func unwritten(key string, after time.Duration, err error) {
	logLine(zapcore.ErrorLevel, "storing failed, trying again",
		zap.String("key", ledger.StorageKey(key)), zap.Duration("after", after), zap.Error(err))
}
