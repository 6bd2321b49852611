package cluster

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// sameFault is how soon after a complaint the end of a link belongs to it.
const sameFault = time.Second

// dialFailed is how the server complains about an address that it could not dial, up to that address.
const dialFailed = "Error trying to connect as leafnode to remote server "

// faults remembers what the embedded server last said about its link. The server tells it in its log and nowhere else.
type faults struct {
	mu     sync.Mutex // guards what follows
	text   string
	since  time.Time
	target string // host:port that is dialled
	missed bool   // that attempt has failed
}

// expect begins an attempt to link.
func (f *faults) expect(address string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.target, f.missed = address, false
}

// failed says that the attempt that expect began has failed.
func (f *faults) failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.missed
}

// observe takes what the server says: a complaint, or the end of a link. A link ends right after the complaint about it, which tells more.
func (f *faults) observe(complaint bool, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, address, dial := strings.Cut(text, dialFailed); dial && !strings.HasPrefix(address, strconv.Quote(f.target)) {
		return // an attempt that was given up earlier
	}
	if !complaint {
		_, reason, ended := strings.Cut(text, "Leafnode connection closed: ")
		if !ended {
			return
		}
		f.missed = true
		if time.Since(f.since) < sameFault {
			return
		}
		text = "the link to the hub ended: " + strings.ToLower(reason)
	}
	f.missed = true
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
