package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// ErrUnreachable says that no hub answered: it may later.
var ErrUnreachable = errors.New("no hub answers")

// Connect joins a hub that runs elsewhere, as a receiver: hub is nats://host:port of a node, or of several with commas between them; the others are learnt from it. A connection that
// breaks is made again, to any of them, for as long as it is not closed; a first one that fails is an error that says what to do, and wraps ErrUnreachable if trying again may help. Later options win over the usual ones. LogErrors should be among them.
func Connect(hub, secret string, opts ...nats.Option) (*nats.Conn, error) {
	if err := checkClientURL(hub); err != nil {
		return nil, err
	}
	all := append(connectionOptions(nameReceiver), nats.UserInfo(userReceiver, secret), nats.Timeout(dialTimeout),
		nats.PingInterval(clientPing), nats.MaxPingsOutstanding(maxPings))
	nc, err := nats.Connect(hub, append(all, opts...)...)
	if err != nil {
		return nil, explainConnect(hub, err)
	}
	return nc, nil
}

// clientPing is how often a receiver asks whether its node is there. One that is gone without a word, or frozen, is left for another within 6 s; streams have other leaders by then.
const clientPing = 2 * time.Second

func checkClientURL(hubs string) error {
	var faults []error
	for hub := range strings.SplitSeq(hubs, ",") {
		faults = append(faults, checkOneClientURL(hub))
	}
	return errors.Join(faults...)
}

func checkOneClientURL(hub string) error {
	u, err := readURL(hub)
	if err != nil {
		return fmt.Errorf("hub address %q: %w", hub, err)
	}
	if u.Scheme == "nats-leaf" {
		return fmt.Errorf("hub address %q is for agents: receivers need nats://host:port, the hub's client listener", hub)
	}
	if u.Scheme != "nats" || u.Hostname() == "" {
		return fmt.Errorf("hub address %q is not nats://host:port", hub)
	}
	return nil
}

func explainConnect(hub string, err error) error {
	switch {
	case errors.Is(err, nats.ErrAuthorization):
		return fmt.Errorf("connect to hub %s: it refuses the secret: use the one in <store>/secret of that hub, and its client listener, not the one for agents: %w", hub, err)
	case errors.Is(err, nats.ErrNoServers):
		err = dialFault(hub, err)
	}
	return fmt.Errorf("connect to hub %s: %w: %w", hub, ErrUnreachable, err)
}

// dialFault finds out why nobody answers: the client keeps that to itself.
func dialFault(hubs string, err error) error {
	var faults []error
	for hub := range strings.SplitSeq(hubs, ",") {
		faults = append(faults, dialOne(hub, err))
	}
	return errors.Join(faults...)
}

func dialOne(hub string, err error) error {
	u, _ := url.Parse(hub)
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), strconv.Itoa(nats.DefaultPort))
	}
	conn, fault := net.DialTimeout("tcp", address, dialTimeout)
	if fault != nil {
		return fault
	}
	conn.Close()
	return err
}

// connectInProcess makes a client that speaks to a server in this process. On a machine with no time to spare even that may take longer than the client waits.
func connectInProcess(s nats.InProcessConnProvider, name string, log *slog.Logger, opts ...nats.Option) (*nats.Conn, error) {
	all := slices.Concat(connectionOptions(name), []nats.Option{nats.InProcessServer(s), LogErrors(log)}, opts)
	for end := time.Now().Add(connectTimeout); ; {
		nc, err := nats.Connect("", all...)
		if err == nil {
			return nc, nil
		}
		if !timedOut(err) || time.Now().After(end) {
			return nil, fmt.Errorf("connect in process: %w", err)
		}
		log.Warn("server in this process does not answer in time; trying again", "name", name, "err", err)
		time.Sleep(startStep)
	}
}

// connectTimeout is how long a connection inside the process is tried for.
const connectTimeout = 30 * time.Second

func timedOut(err error) bool {
	var fault net.Error
	return errors.Is(err, nats.ErrTimeout) || errors.As(err, &fault) && fault.Timeout()
}

// LogErrors tells what a connection meets beside its calls, such as a subscriber that is too slow for what comes. The client prints that to standard error otherwise.
func LogErrors(log *slog.Logger) nats.Option {
	return nats.ErrorHandler(func(nc *nats.Conn, sub *nats.Subscription, err error) {
		attributes := []any{"connection", nc.Opts.Name, "err", err}
		if sub != nil {
			attributes = append(attributes, "subject", sub.Subject)
		}
		log.Warn("nats connection complains", attributes...)
	})
}

func connectionOptions(name string) []nats.Option {
	return []nats.Option{
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(relinkEvery),
		nats.ReconnectJitter(relinkEvery, relinkEvery),
		nats.DrainTimeout(10 * time.Second),
	}
}
