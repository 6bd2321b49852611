package receiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// followEvery is how often a key is read beside the watch: one that hangs after an outage must not keep a receiver from what it should know.
const followEvery = time.Second

// errWatch says that a watch has ended.
var errWatch = errors.New("the watch has ended")

// follow calls look at once, whenever the key changes, and now and then, until ctx ends or look returns errLayout. Other faults it waits out.
func follow(ctx context.Context, bucket jetstream.KeyValue, key string, log *slog.Logger, look func(context.Context) error) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		err := followOnce(ctx, bucket, key, tick.C, look)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errLayout) {
			return err
		}
		log.Warn("cannot follow a key of the hub; trying again", "key", key, "err", err)
		_ = pause(ctx, followEvery)
	}
}

func followOnce(ctx context.Context, bucket jetstream.KeyValue, key string, tick <-chan time.Time, look func(context.Context) error) error {
	watch, err := bucket.Watch(ctx, key, jetstream.UpdatesOnly())
	if err != nil {
		return fmt.Errorf("watch %s: %w", key, err)
	}
	defer func() { _ = watch.Stop() }() // its consumer ends by itself
	for {
		limited, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := look(limited)
		cancel()
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick:
		case _, open := <-watch.Updates():
			if !open {
				return errWatch
			}
		}
	}
}
