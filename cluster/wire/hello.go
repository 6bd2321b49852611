package wire

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Hello is what an agent asks on HelloSubject, in plain JSON.
type Hello struct {
	Version int    `json:"version"`
	Writer  string `json:"writer"`          // id of the agent's state directory
	Session string `json:"session"`         // id of the agent's process; its leaf's name ends in it
	After   uint64 `json:"after,omitempty"` // the agent knows the chain up to here: no table is wanted if that is the head
	Tried   string `json:"tried,omitempty"` // Fingerprint of a batch that names After and may have been stored: no table is wanted, only whether it is the head
}

// Welcome is the answer. Position and expectation of the agent come from it together (rule P2).
type Welcome struct {
	Version  int       `json:"version"`
	Refusal  string    `json:"refusal,omitempty"`  // why this agent must not publish; a sentence for people
	Conflict bool      `json:"conflict,omitempty"` // the refusal is about another agent that ships this host now
	Stream   string    `json:"stream"`             // where the chain is
	Created  time.Time `json:"created"`            // when that stream was created
	Head     uint64    `json:"head"`               // sequence of the chain's last batch, asked of the stream's leader; 0: none
	Stored   bool      `json:"stored,omitempty"`   // Head is the batch that was tried
	Archived uint64    `json:"archived"`           // the chain up to here is in the archive (a lower bound)
	MaxBatch int       `json:"max_batch"`          // raw bytes a batch should not exceed, 0: no wish
	Table    *Table    `json:"table,omitempty"`    // what the chain holds up to Head
}

// Encode is the question as a message body.
func (h Hello) Encode() ([]byte, error) { return json.Marshal(h) }

// DecodeHello reads a question.
func DecodeHello(data []byte) (Hello, error) {
	var h Hello
	if err := json.Unmarshal(data, &h); err != nil {
		return Hello{}, fmt.Errorf("decode hello: %w", err)
	}
	return h, nil
}

// Encode is the answer as a message body: compressed, since it may carry the table of many thousand files.
func (w *Welcome) Encode() ([]byte, error) { return packJSON(w) }

// DecodeWelcome reads an answer.
func DecodeWelcome(data []byte) (Welcome, error) {
	var w Welcome
	if err := unpackJSON(data, &w); err != nil {
		return Welcome{}, fmt.Errorf("decode welcome: %w", err)
	}
	return w, nil
}

// LeafName is the server name of an agent's leaf. The hub reads it to know which agents of a host are linked now.
func LeafName(host, writer, session string) string {
	return HostToken(host) + "." + writer + "." + session
}

// ParseLeafName is the inverse of LeafName. Names come from the network: what is no leaf name of an agent is an error.
func ParseLeafName(name string) (host, writer, session string, err error) {
	parts := strings.Split(name, ".")
	if len(parts) != 3 || parts[1] == "" || parts[2] == "" {
		return "", "", "", fmt.Errorf("leaf name %q is not host.writer.session", name)
	}
	host, err = HostOfToken(parts[0])
	return host, parts[1], parts[2], err
}
