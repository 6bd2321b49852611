package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/aws"
	"github.com/logdrive/logdrive/cluster/dns"
	"github.com/logdrive/logdrive/cluster/fly"
)

// defaultCluster is the name of a cluster that is given none.
const defaultCluster = "logdrive"

// dnsAdapter reads NAME:PORT?server=IP:PORT and _SERVICE._tcp.NAME?server=…. Where a name has no port, all nodes listen where this one does.
func dnsAdapter(c *cli.Context, p *process, names []string) (cluster.Adapter, error) {
	port, err := portOf(c, "cluster-listen")
	if err != nil {
		return nil, err
	}
	cfg := dns.Config{Nodes: c.Int("nodes"), Host: ownHost(c), Name: c.String("name"), Zone: c.String("zone"), Logger: p.log}
	for i, text := range names {
		q, err := readQuery("dns", []string{text})
		if err != nil {
			return nil, err
		}
		var server string
		q.text("server", &server)
		if err := q.rest(); err != nil {
			return nil, err
		}
		if i > 0 && server != cfg.Server {
			return nil, fmt.Errorf("--peers dns://%s: all names are asked of one server: name it with each", text)
		}
		cfg.Server = server
		if !strings.HasPrefix(q.name, "_") && !strings.Contains(q.name, ":") && port != 0 {
			q.name = net.JoinHostPort(q.name, strconv.Itoa(port))
		}
		cfg.Names = append(cfg.Names, q.name)
	}
	return dns.New(cfg)
}

// flyAdapter reads fly://NAME?shape=hub-and-spoke. All machines of the app have the same ports.
func flyAdapter(c *cli.Context, names []string) (cluster.Adapter, error) {
	if c.String("cluster") != "" {
		return nil, fmt.Errorf("--cluster %s: with --peers fly://NAME that name is the clusters'", c.String("cluster"))
	}
	q, err := readQuery("fly", names)
	if err != nil {
		return nil, err
	}
	cfg := fly.Config{Cluster: q.name, Shape: fly.Regions, Nodes: c.Int("nodes")}
	q.text("shape", (*string)(&cfg.Shape))
	q.text("server", &cfg.Server)
	q.span("timeout", &cfg.Timeout)
	if err := q.rest(); err != nil {
		return nil, err
	}
	var errPort, errLeaf error
	cfg.ClusterPort, errPort = portOf(c, "cluster-listen")
	cfg.LeafPort, errLeaf = portOf(c, "leaf-listen")
	if err := errors.Join(errPort, errLeaf); err != nil {
		return nil, err
	}
	return fly.New(cfg)
}

// awsAdapter reads aws://TABLE?group=…&hook=….
func awsAdapter(c *cli.Context, p *process, names []string) (cluster.Adapter, error) {
	q, err := readQuery("aws", names)
	if err != nil {
		return nil, err
	}
	cfg := aws.DefaultConfig()
	cfg.Cluster, cfg.Table, cfg.Nodes, cfg.Name, cfg.Host, cfg.Logger = defaultCluster, q.name, c.Int("nodes"), c.String("name"), ownHost(c), p.log
	if name := c.String("cluster"); name != "" {
		cfg.Cluster = name
	}
	if port, err := portOf(c, "cluster-listen"); err != nil {
		return nil, err
	} else if port != 0 {
		cfg.Port = port
	}
	q.text("host", &cfg.Host)
	q.text("group", &cfg.Group)
	q.text("hook", &cfg.Hook)
	q.yes("volume-stays", &cfg.VolumeStay)
	q.span("dead-after", &cfg.DeadAfter)
	q.span("forget-after", &cfg.ForgetAfter)
	q.span("unhealthy-after", &cfg.UnhealthyAfter)
	q.span("extend-every", &cfg.ExtendEvery)
	q.span("poll-every", &cfg.PollEvery)
	q.span("timeout", &cfg.Timeout)
	if err := q.rest(); err != nil {
		return nil, err
	}
	return aws.New(cfg)
}

// query is SCHEME://NAME?SETTING=VALUE&….
type query struct {
	scheme, name string
	values       url.Values
	known        []string
	faults       []error
}

func readQuery(scheme string, names []string) (*query, error) {
	if len(names) != 1 {
		return nil, fmt.Errorf("--peers %s://: one is enough, the nodes find each other", scheme)
	}
	name, settings, _ := strings.Cut(names[0], "?")
	values, err := url.ParseQuery(settings)
	if err != nil {
		return nil, fmt.Errorf("--peers %s://%s: %w", scheme, names[0], err)
	}
	return &query{scheme: scheme, name: name, values: values}, nil
}

// take gives the value of a setting, if there is one.
func (q *query) take(setting string) (value string, given bool) {
	q.known = append(q.known, setting)
	switch values := q.values[setting]; len(values) {
	case 0:
		return "", false
	case 1:
		return values[0], true
	default:
		q.faults = append(q.faults, fmt.Errorf("--peers %s://%s: %s stands twice", q.scheme, q.name, setting))
		return "", false
	}
}

func (q *query) text(setting string, into *string) {
	if value, given := q.take(setting); given {
		*into = value
	}
}

func (q *query) span(setting string, into *time.Duration) {
	value, given := q.take(setting)
	if !given {
		return
	}
	d, err := time.ParseDuration(value)
	if err != nil {
		q.faults = append(q.faults, fmt.Errorf("--peers %s://%s: %s=%s: write a time such as 90s", q.scheme, q.name, setting, value))
		return
	}
	*into = d
}

func (q *query) yes(setting string, into *bool) {
	value, given := q.take(setting)
	if !given {
		return
	}
	b, err := strconv.ParseBool(value)
	if err != nil {
		q.faults = append(q.faults, fmt.Errorf("--peers %s://%s: %s=%s: write true or false", q.scheme, q.name, setting, value))
		return
	}
	*into = b
}

// rest is what is wrong with the settings, those that nobody knows included.
func (q *query) rest() error {
	for setting := range q.values {
		if !slices.Contains(q.known, setting) {
			q.faults = append(q.faults, fmt.Errorf("--peers %s://%s: unknown setting %q; did you mean %q?", q.scheme, q.name, setting, nearest(setting, q.known)))
		}
	}
	return errors.Join(q.faults...)
}

// portOf is the port of an address that a flag names, 0 without: other nodes must know it.
func portOf(c *cli.Context, flag string) (int, error) {
	address := c.String(flag)
	if address == "" {
		return 0, nil
	}
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		return 0, fmt.Errorf("--%s %q is not host:port", flag, address)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 && flag == "cluster-listen" {
		return 0, fmt.Errorf("--%s %q: the other nodes must know the port", flag, address)
	}
	return int(port), nil
}
