package cluster

import (
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// faults remembers what the embedded server last said about its link. The server tells it in its log and nowhere else.
type faults struct {
	now   func() time.Time
	mu    sync.Mutex // guards text and since
	text  string
	since time.Time
}

// observe takes a complaint of the server.
func (f *faults) observe(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.text, f.since = explainLink(text), f.now()
}

func (f *faults) last() (string, time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text, f.since
}

// explainLink turns what the server says into what an operator can act upon.
func explainLink(text string) string {
	switch {
	case strings.Contains(text, "Authorization Violation"):
		return "the hub refuses the secret: use the one in <store>/secret of the hub"
	case strings.Contains(text, server.ErrConnectedToWrongPort.Error()):
		return "the hub's address is no leaf listener: name the hub's leaf address (nats-leaf://host:7422), not the one for receivers"
	case strings.Contains(text, "Parser Error"), strings.Contains(text, "Unknown Protocol"):
		return "what answers at the hub's address is no hub: " + text
	}
	return text
}
