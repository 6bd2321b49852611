package static

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// own is the host of this node. It must be in the list exactly once: a node that takes another's place would be waited for in two places.
func own(self string, peers []address) (string, error) {
	if len(peers) == 0 {
		return canonical(self), nil
	}
	if self == "" {
		return ownByInterface(peers)
	}
	is := func(a address) bool { return a.host == canonical(strings.Trim(self, "[]")) }
	if a, err := parse(self); err == nil {
		is = func(b address) bool { return a == b }
	}
	return only(peers, is, fmt.Sprintf("own address %q", self))
}

func ownByInterface(peers []address) (string, error) {
	local, err := net.InterfaceAddrs()
	if err != nil {
		return "", fmt.Errorf("read the machine's addresses: %w", err)
	}
	mine := map[string]bool{}
	for _, a := range local {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			mine[prefix.Addr().Unmap().WithZone("").String()] = true
		}
	}
	return only(peers, func(a address) bool { return mine[a.host] }, "an address of this machine (its own is not given)")
}

func only(peers []address, is func(address) bool, what string) (string, error) {
	var found []address
	for _, a := range peers {
		if is(a) {
			found = append(found, a)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("%s is not among the peers %s", what, join(peers))
	case 1:
		return found[0].host, nil
	}
	return "", fmt.Errorf("%s stands for several of the peers, %s: give host:port", what, join(found))
}

func join(list []address) string {
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = a.String()
	}
	return strings.Join(texts, ", ")
}
