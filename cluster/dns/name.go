package dns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// name is what is looked up: an SRV name when it has no port.
type name struct {
	host string
	port uint16
}

func (n name) String() string {
	if n.port == 0 {
		return n.host
	}
	return net.JoinHostPort(n.host, strconv.Itoa(int(n.port)))
}

func parseNames(texts []string) (names []name, faults []error) {
	if len(texts) == 0 {
		faults = append(faults, errors.New("no names are given"))
	}
	for _, text := range texts {
		n, err := parseName(text)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		names = append(names, n)
	}
	return names, faults
}

func parseName(text string) (name, error) {
	if strings.HasPrefix(text, "_") {
		labels := strings.SplitN(text, ".", 3)
		if len(labels) < 3 || !strings.HasPrefix(labels[1], "_") || labels[2] == "" || strings.ContainsAny(text, ":/ \t") {
			return name{}, fmt.Errorf("name %q is not _service._protocol.name", text)
		}
		return name{host: text}, nil
	}
	host, port, err := net.SplitHostPort(strings.TrimPrefix(text, "nats-route://"))
	if err != nil || host == "" || strings.ContainsAny(host, "/@ \t") {
		return name{}, fmt.Errorf("name %q is neither name:port nor _service._protocol.name", text)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return name{}, fmt.Errorf("name %q is an address: list addresses as static peers", text)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return name{}, fmt.Errorf("name %q: port %q is not 1 to 65535", text, port)
	}
	return name{host: host, port: uint16(n)}, nil
}
