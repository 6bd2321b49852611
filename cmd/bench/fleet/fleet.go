package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
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
	Dir    string // state, store, archive and logs of all processes go below it
	Host   string // name of the agent's host
	Codec  string // zstd, s2 or none

	HubFlags, ReceiverFlags, AgentFlags []string // further ones
}

// Fleet is a hub, a receiver and an agent.
type Fleet struct {
	cfg       Config
	hubPorts  Ports
	recvPorts Ports
	Hub       *proc.Process
	Receiver  *proc.Process
	Agent     *proc.Process // nil until StartAgent
}

// Start runs hub and receiver and returns when both are ready. After an error nothing is left running.
func Start(ctx context.Context, cfg Config) (*Fleet, error) {
	f := &Fleet{cfg: cfg}
	if err := f.start(ctx); err != nil {
		return nil, errors.Join(err, f.Kill())
	}
	return f, nil
}

func (f *Fleet) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyWithin, fmt.Errorf("not within %s", readyWithin))
	defer cancel()
	if err := os.MkdirAll(f.cfg.Dir, 0o755); err != nil {
		return fmt.Errorf("start fleet: %w", err)
	}
	var err error
	hub := append([]string{"--store", f.path("hub"), "--listen", "127.0.0.1:0", "--leaf-listen", "127.0.0.1:0"}, f.cfg.HubFlags...)
	if f.Hub, err = f.cfg.launch("hub", "hub", hub); err != nil {
		return err
	}
	if f.hubPorts, err = waitPorts(ctx, f.Hub, f.path("hub.ports")); err != nil {
		return err
	}
	receiver := append([]string{"--hub", f.hubPorts.Client, "--secret", f.Secret(), "--archive", f.Archive()}, f.cfg.ReceiverFlags...)
	if f.Receiver, err = f.cfg.launch("receiver", "receiver", receiver); err != nil {
		return err
	}
	f.recvPorts, err = waitPorts(ctx, f.Receiver, f.path("receiver.ports"))
	return err
}

// StartAgent runs the agent on paths. It does not wait until it is ready: its start is part of what is measured.
func (f *Fleet) StartAgent(paths ...string) error {
	flags := append([]string{"--hub", f.hubPorts.Leaf, "--secret", f.Secret(), "--host", f.cfg.Host, "--state", f.path("agent"), "--codec", f.cfg.Codec}, f.cfg.AgentFlags...)
	var err error
	f.Agent, err = f.cfg.launch("agent", "agent", append(flags, paths...))
	return err
}

// launch runs a command of logdrive under a name, with its log and its ports file named after that.
func (c Config) launch(name, command string, args []string) (*proc.Process, error) {
	head := []string{command, "--ports-file", c.path(name + ".ports")}
	return proc.Start(name, c.path(name+".log"), c.Binary, append(head, args...)...)
}

func (c Config) path(name string) string { return filepath.Join(c.Dir, name) }

func (f *Fleet) path(name string) string { return f.cfg.path(name) }

// Archive is the directory the receiver writes.
func (f *Fleet) Archive() string { return f.path("archive") }

// Secret is the file with the hub's secret.
func (f *Fleet) Secret() string { return f.path("hub/secret") }

// Hub's address for receivers and for those who look.
func (f *Fleet) HubURL() string { return f.hubPorts.Client }

// ReceiverHTTP is where the receiver serves its metrics, "" if it does not.
func (f *Fleet) ReceiverHTTP() string { return f.recvPorts.HTTP }

// Processes lists what runs, in the order of a line's way.
func (f *Fleet) Processes() []*proc.Process {
	var all []*proc.Process
	for _, p := range []*proc.Process{f.Agent, f.Hub, f.Receiver} {
		if p != nil {
			all = append(all, p)
		}
	}
	return all
}

// Alive is an error if a process has ended on its own.
func (f *Fleet) Alive() error {
	for _, p := range f.Processes() {
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
	var errs []error
	for _, p := range []*proc.Process{f.Agent, f.Receiver, f.Hub} {
		if p != nil {
			errs = append(errs, p.Stop(stopWithin))
		}
	}
	return errors.Join(errs...)
}

// Kill ends all at once.
func (f *Fleet) Kill() error {
	var errs []error
	for _, p := range f.Processes() {
		errs = append(errs, p.Kill())
	}
	return errors.Join(errs...)
}
