package receiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
)

// leaseBucket holds what ends unless it is renewed: a key for each archive whose receiver is alive, and the coordinator's.
const leaseBucket = "LOGDRIVE_LEASES"

// coordinatorKey is the coordinator's lease; no archive has such an id.
const coordinatorKey = "coordinator"

// openLeases finds the bucket of leases, or makes it. It is made by hand because nats.go would let followers answer reads. The first receiver
// of a fleet decides how long a lease lasts; one that asks for something else is told what holds.
func openLeases(ctx context.Context, js jetstream.JetStream, lease time.Duration, log *slog.Logger) (jetstream.KeyValue, time.Duration, error) {
	replicas, err := hubReplicas(ctx, js)
	if err != nil {
		return nil, 0, err
	}
	_, err = js.CreateStream(ctx, leaseConfig(lease, replicas))
	if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return nil, 0, fmt.Errorf("make bucket %s: %w", leaseBucket, err)
	}
	bucket, err := js.KeyValue(ctx, leaseBucket)
	if err != nil {
		return nil, 0, fmt.Errorf("open bucket %s: %w", leaseBucket, err)
	}
	status, err := bucket.Status(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("open bucket %s: %w", leaseBucket, err)
	}
	if status.TTL() != lease {
		log.Warn("leases last as long as the fleet's first receiver said; delete the bucket while no receiver runs to change that",
			"bucket", leaseBucket, "lease", status.TTL(), "asked", lease)
	}
	return bucket, status.TTL(), nil
}

// hubReplicas is how many nodes of the hub keep its bucket.
func hubReplicas(ctx context.Context, js jetstream.JetStream) (int, error) {
	stream, err := js.Stream(ctx, "KV_"+wire.Bucket)
	if err != nil {
		return 0, fmt.Errorf("open bucket %s: %w", wire.Bucket, err)
	}
	return stream.CachedInfo().Config.Replicas, nil
}

func leaseConfig(lease time.Duration, replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              "KV_" + leaseBucket,
		Description:       "logdrive: who is alive, and who coordinates",
		Subjects:          []string{"$KV." + leaseBucket + ".>"},
		Retention:         jetstream.LimitsPolicy,
		Storage:           jetstream.FileStorage,
		Replicas:          replicas,
		Discard:           jetstream.DiscardNew,
		MaxAge:            lease,
		MaxBytes:          1 << 20,
		MaxMsgs:           -1,
		MaxMsgsPerSubject: 1,
		Duplicates:        min(lease, 100*time.Millisecond),
		AllowRollup:       true,
		DenyDelete:        true,
	}
}
