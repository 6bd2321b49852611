package wire

import (
	"encoding/json"
	"fmt"
)

// Nodes is the answer of a hub node on NodesSubject, in plain JSON: a sign of life, and where else an agent may go. The question is empty.
type Nodes struct {
	Name    string `json:"name"`    // of the node that answers
	Serving bool   `json:"serving"` // that node has the others around it that it needs; agents of one that has not may go elsewhere
	Nodes   []Node `json:"nodes"`   // all that are there, this one among them
}

// Node is where one hub node is reached by agents.
type Node struct {
	Name      string `json:"name"`
	Cluster   string `json:"cluster,omitempty"`   // of the server; "": it is no cluster
	Leaf      string `json:"leaf"`                // host:port
	Websocket string `json:"websocket,omitempty"` // ws://host:port or wss://host:port; "": not reached that way
}

// DecodeNodes reads an answer.
func DecodeNodes(data []byte) (Nodes, error) {
	var n Nodes
	if err := json.Unmarshal(data, &n); err != nil {
		return Nodes{}, fmt.Errorf("decode nodes: %w", err)
	}
	return n, nil
}
