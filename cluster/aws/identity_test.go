package aws_test

import (
	"log/slog"
	"slices"
	"testing"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/aws"
)

func TestSelf(t *testing.T) {
	db := newDatabase(t)
	n := startNode(t, db, nil, "i-0a1", nil)
	want := cluster.Self{Name: "i-0a1", Host: "10.0.0.49", Nodes: 3, Region: "eu-central-1", Zone: "eu-central-1b"}
	if self, err := n.Self(t.Context()); err != nil || self != want {
		t.Errorf("self is %+v (%v), want %+v", self, err, want)
	}
	if row := db.row("i-0a1"); row != nil {
		t.Errorf("asking who it is has written the row %v", row)
	}

	six := startNode(t, db, nil, "i-0a2", func(c *aws.Config) { c.Port = 7000 })
	six.set("local-ipv4", "")
	six.set("ipv6", "2001:db8::5")
	if self, err := six.Self(t.Context()); err != nil || self.Host != "2001:db8::5" {
		t.Errorf("self is %+v (%v), want the IPv6 address for host", self, err)
	}
	if peers, err := six.Peers(t.Context()); err != nil || !slices.Equal(peers.Routes, []string{"[2001:db8::5]:7000"}) {
		t.Errorf("peers are %+v (%v), want the own IPv6 address", peers, err)
	}

	told := startNode(t, db, nil, "i-0a3", func(c *aws.Config) { c.Name, c.Host = "hub-1", "hub-1.example.com" })
	if self, err := told.Self(t.Context()); err != nil || self.Name != "hub-1" || self.Host != "hub-1.example.com" {
		t.Errorf("self is %+v (%v), want what the config says", self, err)
	}
}

func TestMetadataFaults(t *testing.T) {
	db := newDatabase(t)
	n := startNode(t, db, nil, "i-1", nil)
	n.fail(true)
	_, err := n.Self(t.Context())
	wantError(t, err, "instance metadata instance-id", "is this an EC2 instance")
	n.fail(false)
	n.refuse(true) // there is no way without a token
	_, err = n.Self(t.Context())
	wantError(t, err, "instance metadata instance-id")
	n.refuse(false)
	n.set("placement/availability-zone", "")
	_, err = n.Self(t.Context())
	wantError(t, err, "instance metadata has no placement/availability-zone")
	n.set("placement/availability-zone", "eu-central-1a")
	n.set("local-ipv4", "")
	_, err = n.Self(t.Context())
	wantError(t, err, "neither local-ipv4 nor ipv6")
	n.set("local-ipv4", "10.0.0.49")
	n.revoke()
	if _, err := n.Self(t.Context()); err != nil {
		t.Errorf("with its token revoked: %v", err)
	}
}

// Without a config for the SDK its own places are read.
func TestEnvironment(t *testing.T) {
	db := newDatabase(t)
	n := newInstance(t, "i-1", "10.0.0.1")
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token", "AWS_REGION": "",
		"AWS_ENDPOINT_URL_DYNAMODB": db.url, "AWS_EC2_METADATA_SERVICE_ENDPOINT": n.server.URL, "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
	} {
		t.Setenv(name, value)
	}
	cfg := aws.DefaultConfig()
	cfg.Cluster, cfg.Table, cfg.Logger = "logs", db.table, slog.New(slog.DiscardHandler)
	a, err := aws.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if peers, err := a.Peers(t.Context()); err != nil || !slices.Equal(peers.Routes, []string{"10.0.0.1:6222"}) {
		t.Errorf("peers are %+v (%v), want the node itself", peers, err)
	}

	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		t.Setenv(name, "")
	}
	if a, err = aws.New(cfg); err != nil {
		t.Fatal(err)
	}
	_, err = a.Peers(t.Context())
	wantError(t, err, "no credentials for dynamodb:UpdateItem", "role")
	n.set("iam/security-credentials/", "hub")
	n.set("iam/security-credentials/hub", `{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"AKIDEXAMPLE","SecretAccessKey":"secret","Token":"token","Expiration":"2100-01-01T00:00:00Z"}`)
	if _, err := a.Peers(t.Context()); err != nil {
		t.Errorf("with the credentials of the instance's role: %v", err)
	}
}

func TestConfig(t *testing.T) {
	cfg := aws.Config{Cluster: "a b", Nodes: -1, Port: 70000, Host: "10.0.0.1:1", Hook: "leave", ForgetAfter: -1}
	_, err := aws.New(cfg)
	wantError(t, err, `cluster name "a b"`, "table is not set", "-1 nodes", "port 70000", `host "10.0.0.1:1"`, `lifecycle hook "leave"`,
		"dead after 0s", "forget after -1ns", "unhealthy after 0s", "extend every 0s", "poll every 0s", "timeout 0s", "logger is not set")
	cfg = aws.DefaultConfig()
	cfg.Cluster, cfg.Table, cfg.Logger, cfg.AWS = "logs", "nodes", slog.New(slog.DiscardHandler), &awssdk.Config{}
	_, err = aws.New(cfg)
	wantError(t, err, "no credentials")
}
