package fleet

import (
	"context"
	"errors"

	"github.com/logdrive/logdrive/cmd/bench/proc"
)

// Crew is a hub, receivers that come and go, each with an archive of its own, and agents.
type Crew struct {
	cfg       Config
	Hub       *Hub
	receivers map[string]*proc.Process // by name; those that run
	agents    []*proc.Process
}

// StartCrew runs a hub and returns when it is ready. After an error nothing is left running.
func StartCrew(ctx context.Context, cfg Config) (*Crew, error) {
	hub, err := newHub(cfg)
	if err != nil {
		return nil, err
	}
	c := &Crew{cfg: cfg, Hub: hub, receivers: map[string]*proc.Process{}}
	if err := c.Hub.start(ctx); err != nil {
		return nil, errors.Join(err, c.Kill())
	}
	return c, nil
}

// Join runs the receiver of a name, on its archive of before if it has one, and returns when it is connected.
func (c *Crew) Join(ctx context.Context, name string) error {
	args := append([]string{"--hub", c.Hub.Client(), "--secret", c.Hub.Secret(), "--archive", c.Archive(name), "--name", name}, c.cfg.ReceiverFlags...)
	p, err := c.cfg.launch("receiver-"+name, "receiver", args)
	if err != nil {
		return err
	}
	c.receivers[name] = p
	_, err = c.cfg.ready(ctx, p)
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
	p, err := c.cfg.startAgent(c.Hub, host, paths)
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

// Receivers lists those that run.
func (c *Crew) Receivers() []*proc.Process {
	var all []*proc.Process
	for _, p := range c.receivers {
		all = append(all, p)
	}
	return all
}

// Alive is an error if a process of agents has ended on its own. Hub and receivers are killed and started again by whoever measures.
func (c *Crew) Alive() error { return alive(c.agents) }

// Stop ends all cleanly. Receivers go before the hub, which they need to write their last floors.
func (c *Crew) Stop() error {
	return errors.Join(stopAll(c.agents), stopAll(c.Receivers()), c.Hub.stop())
}

// Kill ends all at once.
func (c *Crew) Kill() error {
	return errors.Join(killAll(c.agents), killAll(c.Receivers()), killAll(c.Hub.Processes()))
}
