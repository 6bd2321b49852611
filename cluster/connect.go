package cluster

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// ErrUnreachable says that no hub answered: it may later.
var ErrUnreachable = errors.New("no hub answers")

// Connect joins a hub that runs elsewhere, as a receiver: url is nats://host:port. A connection that breaks is made again for as long as it is not
// closed; a first one that fails is an error that says what to do, and wraps ErrUnreachable if trying again may help. Later options win over the usual ones.
func Connect(hub, secret string, opts ...nats.Option) (*nats.Conn, error) {
	if err := checkClientURL(hub); err != nil {
		return nil, err
	}
	all := append(connectionOptions("logdrive receiver"), nats.UserInfo(userReceiver, secret), nats.Timeout(dialTimeout),
		nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(maxPings))
	nc, err := nats.Connect(hub, append(all, opts...)...)
	if err != nil {
		return nil, explainConnect(hub, err)
	}
	return nc, nil
}

func checkClientURL(hub string) error {
	u, err := url.Parse(hub)
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
func dialFault(hub string, err error) error {
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

// connectInProcess makes a client that speaks to a server in this process.
func connectInProcess(s *server.Server, name string, opts ...nats.Option) (*nats.Conn, error) {
	all := append(connectionOptions(name), nats.InProcessServer(s))
	nc, err := nats.Connect("", append(all, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("connect in process: %w", err)
	}
	return nc, nil
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
