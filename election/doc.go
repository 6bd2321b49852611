// Package election lets one of many processes do a duty, by a lease in a key of a NATS JetStream bucket.
package election
