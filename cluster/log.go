package cluster

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode"
)

// repeatEvery is how often a complaint of the embedded server that comes again and again is told again.
const repeatEvery = 30 * time.Second

// maxKinds is how many kinds of complaints are remembered; they may hold names from the network.
const maxKinds = 1000

// serverLog passes what the embedded server says to a slog.Logger. What a server on its own tells proudly (its start, each connection)
// is detail here, and a link that is down complains many times a second: it is told once in a while.
type serverLog struct {
	log     *slog.Logger
	fatal   func(error)                       // told when the server cannot go on; it may then be running by halves
	observe func(complaint bool, text string) // sees what is said, also what is not told
	mu      sync.Mutex                        // guards said
	said    map[string]repeats                // by what kindOf makes of the format
}

type repeats struct {
	last   time.Time
	untold int
}

func newServerLog(log *slog.Logger, fatal func(error), observe func(complaint bool, text string)) *serverLog {
	return &serverLog{log: log, fatal: fatal, observe: observe, said: map[string]repeats{}}
}

func (l *serverLog) Noticef(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.observe(false, text)
	l.log.Debug("nats server", "says", text)
}
func (l *serverLog) Warnf(format string, v ...any)  { l.complain(format, v) }
func (l *serverLog) Errorf(format string, v ...any) { l.complain(format, v) }
func (l *serverLog) Debugf(string, ...any)          {}
func (l *serverLog) Tracef(string, ...any)          {}

func (l *serverLog) Fatalf(format string, v ...any) {
	err := fmt.Errorf(format, v...)
	l.log.Error("nats server cannot go on", "err", err)
	l.fatal(err)
}

// complain tells warnings and errors alike as warnings: the server retries. What needs a person is an error of Run.
func (l *serverLog) complain(format string, v []any) {
	text := fmt.Sprintf(format, v...)
	if strings.HasPrefix(text, "Plaintext passwords") || strings.HasPrefix(text, "Websocket not configured with TLS") {
		return // the secret is 24 random bytes that change hands on loopback only
	}
	l.observe(true, text)
	if untold, tell := l.due(format); tell {
		l.log.Warn("nats server complains", "says", text, "repeated", untold)
	}
}

func (l *serverLog) due(format string) (untold int, tell bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kind := kindOf(format)
	r := l.said[kind]
	if !r.last.IsZero() && time.Since(r.last) < repeatEvery {
		l.said[kind] = repeats{last: r.last, untold: r.untold + 1}
		return 0, false
	}
	if len(l.said) >= maxKinds {
		clear(l.said)
	}
	l.said[kind] = repeats{last: time.Now()}
	return r.untold, true
}

// kindOf is what complaints have in common that differ in addresses and numbers only: the server puts those of the connection
// into the format itself.
func kindOf(format string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, format)
}
