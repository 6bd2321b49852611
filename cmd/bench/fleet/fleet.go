package fleet

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/logdrive/logdrive/cmd/bench/proc"
)

const (
	readyWithin = 30 * time.Second
	stopWithin  = 30 * time.Second
)

// Config says what to run and where.
type Config struct {
	Binary string // logdrive
	Dir    string // state, stores, archives and logs of all processes go below it
	Nodes  int    // of the hub: 3 or more make a cluster, 0 is one
	Codec  string // zstd, s2 or none

	HubFlags, ReceiverFlags, AgentFlags []string // further ones
}

// Fleet is a hub, a receiver and agents.
type Fleet struct {
	cfg       Config
	recvPorts Ports
	Hub       *Hub
	Receiver  *proc.Process
	Agents    []*proc.Process
}

// Start runs hub and receiver and returns when both are ready. After an error nothing is left running.
func Start(ctx context.Context, cfg Config) (*Fleet, error) {
	hub, err := newHub(cfg)
	if err != nil {
		return nil, err
	}
	f := &Fleet{cfg: cfg, Hub: hub}
	if err := f.start(ctx); err != nil {
		return nil, errors.Join(err, f.Kill())
	}
	return f, nil
}

func (f *Fleet) start(ctx context.Context) (err error) {
	if err := f.Hub.start(ctx); err != nil {
		return err
	}
	receiver := append([]string{"--hub", f.Hub.Client(), "--secret", f.Hub.Secret(), "--archive", f.Archive()}, f.cfg.ReceiverFlags...)
	if f.Receiver, err = f.cfg.launch("receiver", "receiver", receiver); err != nil {
		return err
	}
	f.recvPorts, err = f.cfg.ready(ctx, f.Receiver)
	return err
}

// StartAgent runs the agent of a host on paths. It does not wait until it is ready: its start is part of what is measured.
func (f *Fleet) StartAgent(host string, paths ...string) error {
	p, err := f.cfg.startAgent(f.Hub, host, paths)
	if err == nil {
		f.Agents = append(f.Agents, p)
	}
	return err
}

func (c Config) startAgent(hub *Hub, host string, paths []string) (*proc.Process, error) {
	name := agentName(host)
	args := append(hub.leaves(), "--secret", hub.Secret(), "--host", host, "--state", c.path(name), "--codec", c.Codec)
	return c.launch(name, "agent", append(append(args, c.AgentFlags...), paths...))
}

// launch runs a command of logdrive under a name, with its log and its ports file named after that.
func (c Config) launch(name, command string, args []string) (*proc.Process, error) {
	head := []string{command, "--ports-file", c.path(name + ".ports")}
	return proc.Start(name, c.path(name+".log"), c.Binary, append(head, args...)...)
}

// ready waits until a process has written its ports file.
func (c Config) ready(ctx context.Context, p *proc.Process) (Ports, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readyWithin, fmt.Errorf("not within %s", readyWithin))
	defer cancel()
	return waitPorts(ctx, p, c.path(p.Name()+".ports"))
}

func (c Config) path(name string) string { return filepath.Join(c.Dir, name) }

// Archive is the directory the receiver writes.
func (f *Fleet) Archive() string { return f.cfg.path("archive") }

// ReceiverHTTP is where the receiver serves its metrics, "" if it does not.
func (f *Fleet) ReceiverHTTP() string { return f.recvPorts.HTTP }

// Role is the processes that do the same.
type Role struct {
	Name      string
	Processes []*proc.Process
}

// Roles lists what runs, in the order of a line's way.
func (f *Fleet) Roles() []Role {
	roles := []Role{{"agent", f.Agents}, {"hub", f.Hub.Processes()}, {"receiver", nil}}
	if f.Receiver != nil {
		roles[2].Processes = []*proc.Process{f.Receiver}
	}
	return roles
}

// Processes are those of all roles.
func (f *Fleet) Processes() (all []*proc.Process) {
	for _, r := range f.Roles() {
		all = append(all, r.Processes...)
	}
	return all
}

// Alive is an error if a process has ended on its own.
func (f *Fleet) Alive() error { return alive(f.Processes()) }

func alive(all []*proc.Process) error {
	for _, p := range all {
		select {
		case <-p.Done():
			return fmt.Errorf("%s ended: %w", p.Name(), errors.Join(p.Wait(), errEnded))
		default:
		}
	}
	return nil
}

var errEnded = errors.New("nobody stopped it")

// Stop ends all cleanly. The receiver goes before the hub, which it needs to write its last floor.
func (f *Fleet) Stop() error {
	return errors.Join(stopAll(f.Agents), f.Receiver.Stop(stopWithin), f.Hub.stop())
}

// Kill ends all at once.
func (f *Fleet) Kill() error { return killAll(f.Processes()) }
