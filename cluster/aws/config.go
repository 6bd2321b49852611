package aws

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
)

// Config says where the nodes of a cluster find each other. Start from [DefaultConfig].
type Config struct {
	Cluster string // name of the cluster: the partition of the table that its nodes are in
	Table   string // DynamoDB table with the partition key cluster (S), the sort key name (S), and expires as the TTL attribute
	Nodes   int    // how many nodes found the cluster; 0: what the hub's config says
	Port    int    // of this node's cluster listener

	Name string // what to call this node, one in its cluster; "": the instance's id
	Host string // that peers reach this node at; "": the instance's private IPv4 address, or its IPv6 address

	Group      string // Auto Scaling group that the instance is in; "": none, and nothing is told to Auto Scaling
	Hook       string // the group's lifecycle hook for autoscaling:EC2_INSTANCE_TERMINATING; "": none
	VolumeStay bool   // the store is on a volume that outlives the instance, so that one that ends is not gone for good

	DeadAfter      time.Duration // a node whose row has not changed for so long, while this one looked, is no peer
	ForgetAfter    time.Duration // a node that was dead, or has left, for so long loses its row
	UnhealthyAfter time.Duration // a node that was broken for so long is given up, when all others work
	ExtendEvery    time.Duration // how often the lifecycle hook is told that the node is still leaving; below the hook's heartbeat timeout
	PollEvery      time.Duration // how often the instance's metadata is asked whether the instance ends
	Timeout        time.Duration // of one Self, Peers or Report

	AWS       *awssdk.Config // credentials and region; nil: what the SDK finds in environment, files and instance role
	Endpoints Endpoints
	Logger    *slog.Logger // required
}

// Endpoints are URLs to use instead of the ones that the SDK knows; "": the SDK's.
type Endpoints struct {
	DynamoDB, AutoScaling, Metadata string
}

// DefaultConfig lacks Cluster, Table and Logger.
func DefaultConfig() Config {
	return Config{
		Port:           6222,
		DeadAfter:      30 * time.Second,
		ForgetAfter:    24 * time.Hour,
		UnhealthyAfter: 15 * time.Minute,
		ExtendEvery:    time.Minute,
		PollEvery:      5 * time.Second,
		Timeout:        10 * time.Second,
	}
}

// Validate lists everything that is wrong with the config.
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.Cluster == "" || strings.ContainsAny(c.Cluster, " \t\n.*>") {
		fault("cluster name %q: it must be one word", c.Cluster)
	}
	if c.Table == "" {
		fault("table is not set")
	}
	if c.Nodes < 0 {
		fault("%d nodes: it must not be below zero", c.Nodes)
	}
	if c.Port < 1 || c.Port > 65535 {
		fault("port %d is not 1 to 65535", c.Port)
	}
	if strings.ContainsAny(c.Host, ":/ \t") && !isIP(c.Host) {
		fault("host %q: it is a name or an IP address, without a port", c.Host)
	}
	if c.Hook != "" && c.Group == "" {
		fault("lifecycle hook %q: the Auto Scaling group is not set", c.Hook)
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"dead after", c.DeadAfter},
		{"forget after", c.ForgetAfter},
		{"unhealthy after", c.UnhealthyAfter},
		{"extend every", c.ExtendEvery},
		{"poll every", c.PollEvery},
		{"timeout", c.Timeout},
	} {
		if d.value <= 0 {
			fault("%s %v: it must be above zero", d.name, d.value)
		}
	}
	if c.ForgetAfter < c.DeadAfter {
		fault("forget after %v: it must not be below dead after %v", c.ForgetAfter, c.DeadAfter)
	}
	if c.Logger == nil {
		fault("logger is not set")
	}
	return errors.Join(faults...)
}
