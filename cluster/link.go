package cluster

import (
	"fmt"
	"regexp"
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

// wsClosed is what the server adds to what it has said of a WebSocket connection that failed.
const wsClosed = "Error soliciting websocket connection: connection closed"

// faults remembers what the embedded server last said about its link. The server tells it in its log and nowhere else.
type faults struct {
	mu     sync.Mutex // guards what follows
	text   string
	since  time.Time
	target string // host:port that is dialled; "": the link is being ended on purpose
	missed bool   // that attempt has failed
	linked bool   // it has not
}

// expect begins an attempt to link.
func (f *faults) expect(address string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.target, f.missed, f.linked = address, false, false
}

// made says that the attempt that expect began has led to a link.
func (f *faults) made() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.linked = true
}

// failed says that the attempt that expect began has failed.
func (f *faults) failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.missed
}

// linkOf finds the port at the other end of the connection that the server speaks of.
var linkOf = regexp.MustCompile(`:(\d+) - lid`)

// ours says that a text is about the address that is dialled, or about none: a relay is told of the links of agents, too.
func (f *faults) ours(text string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := linkOf.FindStringSubmatch(text)
	return at == nil || strings.HasSuffix(f.target, ":"+at[1])
}

// observe takes what the server says: a complaint, or the end of a link. The end comes right after the complaint about it, which tells more.
func (f *faults) observe(complaint bool, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, address, dial := strings.Cut(text, dialFailed); dial && !strings.HasPrefix(address, strconv.Quote(f.target)) {
		return // an attempt that was given up earlier
	}
	_, reason, ended := strings.Cut(text, "Leafnode connection closed: ")
	if !complaint && !ended || ended && f.target == "" {
		return
	}
	f.missed = true
	if (ended || strings.Contains(text, wsClosed)) && time.Since(f.since) < sameFault {
		return
	}
	switch {
	case ended && f.linked:
		text = "the link to the hub ended: " + strings.ToLower(reason)
	case ended:
		text = fmt.Sprintf("no hub answers at %s (%s): it must be the hub's leaf listener for nats-leaf://, or its WebSocket listener for ws://", f.target, strings.ToLower(reason))
	}
	f.text, f.since = explainLink(text), time.Now()
}

func (f *faults) last() (string, time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text, f.since
}

// explanations say what an operator can do about what the server says, by a part of it. What the server said itself stands behind those that end in a colon.
var explanations = []struct{ said, means string }{
	{"Authorization Violation", "the hub refuses the secret: use the one in <store>/secret of the hub"},
	{server.ErrConnectedToWrongPort.Error(), "the hub's address is no leaf listener: name the hub's leaf address (nats-leaf://host:7422), not the one for receivers"},
	{"failed to connect to proxy: ", "the HTTP proxy is not reached; see --proxy and HTTPS_PROXY:"},
	{"proxy CONNECT failed: 407", "the HTTP proxy wants to know who asks (407): write the user and the password into its URL"},
	{"proxy CONNECT failed: ", "the HTTP proxy does not connect to the hub; many allow port 443 only:"},
	{"first record does not look like a TLS handshake", "there is no TLS at the hub's address: write ws:// instead of wss://"},
	{"x509: ", "the certificate at the hub's address is not trusted by this machine (SSL_CERT_FILE names further ones):"},
	{"malformed HTTP ", "no WebSocket is spoken at the hub's address: if it is the leaf listener, write nats-leaf:// instead of ws://"},
	{"invalid websocket connection", "no hub speaks WebSocket at its address: name that of --websocket-listen, or of what forwards to it, which takes wss:// if it ends TLS"},
	{"Parser Error", "what answers at the hub's address is no hub:"},
	{"Unknown Protocol", "what answers at the hub's address is no hub:"},
}

// explainLink turns what the server says into what an operator can act upon.
func explainLink(text string) string {
	for _, e := range explanations {
		if at := strings.Index(text, e.said); at >= 0 {
			if strings.HasSuffix(e.means, ":") {
				return e.means + " " + text[at:]
			}
			return e.means
		}
	}
	return text
}
