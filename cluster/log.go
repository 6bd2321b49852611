package cluster

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// repeatEvery is how often a complaint of the embedded server that comes again and again is told again.
const repeatEvery = 30 * time.Second

// serverLog passes what the embedded server says to a slog.Logger. What a server on its own tells proudly (its start, each connection)
// is detail here, and a link that is down complains many times a second: it is told once in a while.
type serverLog struct {
	log     *slog.Logger
	fatal   func(error)        // told when the server cannot go on; it may then be running by halves
	observe func(text string)  // sees every complaint, also those that are not told
	now     func() time.Time   // the clock of the repetitions
	mu      sync.Mutex         // guards said
	said    map[string]repeats // by format, so that changing counters and addresses do not make a complaint a new one
}

type repeats struct {
	last   time.Time
	untold int
}

func newServerLog(log *slog.Logger, fatal func(error), observe func(string)) *serverLog {
	return &serverLog{log: log, fatal: fatal, observe: observe, now: time.Now, said: map[string]repeats{}}
}

func (l *serverLog) Noticef(format string, v ...any) {
	l.log.Debug("nats server", "says", fmt.Sprintf(format, v...))
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
	if strings.HasPrefix(text, "Plaintext passwords") {
		return // the secret is 24 random bytes that change hands on loopback only
	}
	l.observe(text)
	if untold, tell := l.due(format); tell {
		l.log.Warn("nats server complains", "says", text, "repeated", untold)
	}
}

func (l *serverLog) due(format string) (untold int, tell bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, now := l.said[format], l.now()
	if !r.last.IsZero() && now.Sub(r.last) < repeatEvery {
		l.said[format] = repeats{last: r.last, untold: r.untold + 1}
		return 0, false
	}
	l.said[format] = repeats{last: now}
	return r.untold, true
}
