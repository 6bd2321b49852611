package dns

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// own is the one host among those found that is an address of this machine.
func own(found []netip.AddrPort) (string, error) {
	mine, err := machine()
	if err != nil {
		return "", err
	}
	var hosts []netip.Addr
	for _, a := range found {
		if slices.Contains(mine, a.Addr()) && !slices.Contains(hosts, a.Addr()) {
			hosts = append(hosts, a.Addr())
		}
	}
	switch len(hosts) {
	case 0:
		return "", fmt.Errorf("find the own address: none of this machine's, %v, is among those looked up, %v", mine, found)
	case 1:
		return hosts[0].String(), nil
	}
	return "", fmt.Errorf("find the own address: several of this machine's are among those looked up, %v: say which host is its own", hosts)
}

func machine() ([]netip.Addr, error) {
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("read the machine's addresses: %w", err)
	}
	var mine []netip.Addr
	for _, a := range interfaces {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			mine = append(mine, prefix.Addr().Unmap())
		}
	}
	return mine, nil
}
