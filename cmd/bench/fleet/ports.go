package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/logdrive/logdrive/cmd/bench/proc"
)

// Ports is what a process says in its ports file once it is ready.
type Ports struct {
	Client string `json:"client"` // nats://host:port
	Leaf   string `json:"leaf"`   // nats-leaf://host:port
	HTTP   string `json:"http"`   // http://host:port
	PID    int    `json:"pid"`
}

// ReadPorts reads a ports file.
func ReadPorts(path string) (Ports, error) {
	var p Ports
	data, err := os.ReadFile(path)
	if err != nil {
		return p, fmt.Errorf("read ports: %w", err)
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return p, fmt.Errorf("read ports %s: %w", path, err)
	}
	return p, nil
}

// waitPorts waits until p has written its ports file, has ended, or ctx ends.
func waitPorts(ctx context.Context, p *proc.Process, path string) (Ports, error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if ports, err := ReadPorts(path); err == nil && ports.PID == p.PID() {
			return ports, nil
		}
		select {
		case <-tick.C:
		case <-p.Done():
			return Ports{}, fmt.Errorf("%s ended before it was ready: %w", p.Name(), p.Wait())
		case <-ctx.Done():
			return Ports{}, fmt.Errorf("%s is not ready: %w", p.Name(), context.Cause(ctx))
		}
	}
}
