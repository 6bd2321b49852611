package fleet

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

// LinkedTo tells to which node the agent of a host linked itself last, as its log says; nil: to none yet. Agents choose and change their node by themselves.
func (h *Hub) LinkedTo(host string) (*Node, error) {
	log, err := os.Open(h.cfg.path(agentName(host) + ".log"))
	if err != nil {
		return nil, fmt.Errorf("ask for the link of %s: %w", host, err)
	}
	defer log.Close()
	var last *Node
	entries := bufio.NewScanner(log)
	for entries.Scan() {
		var entry struct{ Msg, Hub string }
		if json.Unmarshal(entries.Bytes(), &entry) != nil || entry.Msg != "linked to the hub" {
			continue
		}
		for _, n := range h.Nodes {
			if n.Leaf() == entry.Hub {
				last = n
			}
		}
	}
	if err := entries.Err(); err != nil {
		return nil, fmt.Errorf("ask for the link of %s: %w", host, err)
	}
	return last, nil
}

// agentName is the name of a host's agent as a process.
func agentName(host string) string { return "agent-" + host }
