package static

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// address is a cluster listener, in the one form that equal ones have in common.
type address struct {
	host string
	port uint16
}

func (a address) String() string { return net.JoinHostPort(a.host, strconv.Itoa(int(a.port))) }

// addresses reads a list. A node that is listed twice would be counted twice when the cluster is founded, which then waits for ever for a
// vote that nobody can give: so that is a fault.
func addresses(list []string) (found []address, faults []error) {
	first := map[address]string{}
	for _, text := range list {
		a, err := parse(text)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if before, twice := first[a]; twice {
			faults = append(faults, fmt.Errorf("peer %q is listed twice, first as %q", text, before))
			continue
		}
		first[a] = text
		found = append(found, a)
	}
	return found, faults
}

func parse(text string) (address, error) {
	if _, after, is := strings.Cut(text, "@"); is { // what stands before it may be a password
		return address{}, fmt.Errorf("peer …@%s holds a user: credentials are not given in addresses", after)
	}
	hostPort := text
	if strings.Contains(text, "://") {
		u, err := url.Parse(text)
		if err != nil {
			return address{}, fmt.Errorf("peer: %w", err)
		}
		if u.Scheme != "nats-route" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			return address{}, fmt.Errorf("peer %q is not nats-route://host:port", text)
		}
		hostPort = u.Host
	}
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil || host == "" || strings.ContainsAny(host, "/ \t") {
		return address{}, fmt.Errorf("peer %q is not nats-route://host:port or host:port", text)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return address{}, fmt.Errorf("peer %q: port %q is not 1 to 65535", text, port)
	}
	host = canonical(host)
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		return address{}, fmt.Errorf("peer %q: nobody can be reached at %s", text, host)
	}
	return address{host: host, port: uint16(n)}, nil
}

// canonical is how equal hosts are written alike: names in lower case and without the root's dot, IPs in their short form.
func canonical(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().String()
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
