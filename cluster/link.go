package cluster

import (
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// sameFault is how soon after a complaint the end of a link belongs to it.
const sameFault = time.Second

// faults remembers what the embedded server last said about its link. The server tells it in its log and nowhere else.
type faults struct {
	mu    sync.Mutex // guards text and since
	text  string
	since time.Time
}

// observe takes what the server says: a complaint, or the end of a link. A link ends right after the complaint about it, which tells more.
func (f *faults) observe(complaint bool, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !complaint {
		_, reason, ended := strings.Cut(text, "Leafnode connection closed: ")
		if !ended || time.Since(f.since) < sameFault {
			return
		}
		text = "the link to the hub ended: " + strings.ToLower(reason)
	}
	f.text, f.since = explainLink(text), time.Now()
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
