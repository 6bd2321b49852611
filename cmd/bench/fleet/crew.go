package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cmd/bench/proc"
)

// Crew is a hub, receivers that come and go, each with an archive of its own, and agents.
type Crew struct {
	cfg       Config
	ports     Ports
	Hub       *proc.Process
	receivers map[string]*proc.Process // by name; those that run
	agents    []*proc.Process
}

// StartCrew runs a hub and returns when it is ready. After an error nothing is left running.
func StartCrew(ctx context.Context, cfg Config) (*Crew, error) {
	c := &Crew{cfg: cfg, receivers: map[string]*proc.Process{}}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("start crew: %w", err)
	}
	if err := c.startHub(ctx, "127.0.0.1:0", "127.0.0.1:0"); err != nil {
		return nil, errors.Join(err, c.Kill())
	}
	return c, nil
}

func (c *Crew) startHub(ctx context.Context, listen, leafListen string) error {
	args := append([]string{"--store", c.cfg.path("hub"), "--listen", listen, "--leaf-listen", leafListen}, c.cfg.HubFlags...)
	var err error
	if c.Hub, err = c.cfg.launch("hub", "hub", args); err != nil {
		return err
	}
	c.ports, err = c.ready(ctx, c.Hub)
	return err
}

// RestartHub kills the hub and runs it again at the same addresses.
func (c *Crew) RestartHub(ctx context.Context) error {
	if err := c.Hub.Kill(); err != nil {
		return err
	}
	return c.startHub(ctx, strings.TrimPrefix(c.ports.Client, "nats://"), strings.TrimPrefix(c.ports.Leaf, "nats-leaf://"))
}

func (c *Crew) ready(ctx context.Context, p *proc.Process) (Ports, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readyWithin, fmt.Errorf("not within %s", readyWithin))
	defer cancel()
	return waitPorts(ctx, p, c.cfg.path(p.Name()+".ports"))
}

// Join runs the receiver of a name, on its archive of before if it has one, and returns when it is connected.
func (c *Crew) Join(ctx context.Context, name string) error {
	args := append([]string{"--hub", c.ports.Client, "--secret", c.Secret(), "--archive", c.Archive(name), "--name", name}, c.cfg.ReceiverFlags...)
	p, err := c.cfg.launch("receiver-"+name, "receiver", args)
	if err != nil {
		return err
	}
	c.receivers[name] = p
	_, err = c.ready(ctx, p)
	return err
}

// Leave asks a receiver to end, and waits for that.
func (c *Crew) Leave(name string) error {
	p := c.receivers[name]
	delete(c.receivers, name)
	return p.Stop(stopWithin)
}

// KillReceiver ends a receiver at once.
func (c *Crew) KillReceiver(name string) error {
	p := c.receivers[name]
	delete(c.receivers, name)
	return p.Kill()
}

// StartAgent runs the agent of a host on paths, and does not wait until it is ready.
func (c *Crew) StartAgent(host string, paths ...string) error {
	args := append([]string{"--hub", c.ports.Leaf, "--secret", c.Secret(), "--host", host, "--state", c.cfg.path("agent-" + host), "--codec", c.cfg.Codec}, c.cfg.AgentFlags...)
	p, err := c.cfg.launch("agent-"+host, "agent", append(args, paths...))
	if err == nil {
		c.agents = append(c.agents, p)
	}
	return err
}

// AddAgents makes a process that was started elsewhere one of the agents: it is ended with the others.
func (c *Crew) AddAgents(p *proc.Process) { c.agents = append(c.agents, p) }

// Agents lists the processes of agents.
func (c *Crew) Agents() []*proc.Process { return c.agents }

// Archive is the directory that a receiver writes.
func (c *Crew) Archive(name string) string { return c.cfg.path("archive-" + name) }

// Secret is the file with the hub's secret.
func (c *Crew) Secret() string { return c.cfg.path("hub/secret") }

// Leaf is the hub's address for agents.
func (c *Crew) Leaf() string { return c.ports.Leaf }

// Receivers lists those that run.
func (c *Crew) Receivers() []*proc.Process {
	var all []*proc.Process
	for _, p := range c.receivers {
		all = append(all, p)
	}
	return all
}

// Connect makes a client of the hub, as receivers are.
func (c *Crew) Connect() (*nats.Conn, error) {
	secret, err := os.ReadFile(c.Secret())
	if err != nil {
		return nil, fmt.Errorf("connect to hub: %w", err)
	}
	return cluster.Connect(c.ports.Client, strings.TrimSpace(string(secret)))
}

// Alive is an error if a process of agents has ended on its own. Hub and receivers are killed and started again by whoever measures.
func (c *Crew) Alive() error {
	for _, p := range c.agents {
		select {
		case <-p.Done():
			return fmt.Errorf("%s ended: %w", p.Name(), errors.Join(p.Wait(), errEnded))
		default:
		}
	}
	return nil
}

// all that runs, in the order in which it is stopped: receivers need the hub to write their last floors.
func (c *Crew) all() []*proc.Process {
	all := append([]*proc.Process{}, c.agents...)
	all = append(all, c.Receivers()...)
	if c.Hub != nil {
		all = append(all, c.Hub)
	}
	return all
}

// Stop ends all cleanly.
func (c *Crew) Stop() error {
	var errs []error
	for _, p := range c.all() {
		errs = append(errs, p.Stop(stopWithin))
	}
	return errors.Join(errs...)
}

// Kill ends all at once.
func (c *Crew) Kill() error {
	var errs []error
	for _, p := range c.all() {
		errs = append(errs, p.Kill())
	}
	return errors.Join(errs...)
}
