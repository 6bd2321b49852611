package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
)

// answer is what one name stands for.
type answer struct {
	addresses []netip.AddrPort
	absent    []string // names on the way that do not exist or have no address
	err       error
}

// lookupAll looks all names up at the same time, and fails with everything that failed.
func lookupAll(ctx context.Context, r *net.Resolver, names []name) (found []netip.AddrPort, absent map[string]bool, err error) {
	var faults []error
	absent = map[string]bool{}
	answers := each(names, func(n name) answer { return lookup(ctx, r, n) })
	for i, a := range answers {
		if a.err != nil {
			faults = append(faults, fmt.Errorf("look up %s: %w", names[i], a.err))
		}
		found = append(found, a.addresses...)
		for _, name := range a.absent {
			absent[name] = true
		}
	}
	if len(faults) > 0 {
		return nil, nil, fmt.Errorf("%w (others answered %v)", errors.Join(faults...), found)
	}
	return found, absent, nil
}

// each calls look for all names at once: a server that does not answer costs its time-out once.
func each[N any](names []N, look func(N) answer) []answer {
	answers := make([]answer, len(names))
	var wg sync.WaitGroup
	for i, n := range names {
		wg.Go(func() { answers[i] = look(n) })
	}
	wg.Wait()
	return answers
}

func lookup(ctx context.Context, r *net.Resolver, n name) answer {
	if n.port == 0 {
		return lookupSRV(ctx, r, n)
	}
	ips, err := r.LookupNetIP(ctx, "ip", n.host)
	if isAbsent(err) {
		return answer{absent: []string{n.String()}}
	}
	if err != nil {
		return answer{err: err}
	}
	var a answer
	for _, ip := range oneKind(ips) {
		a.addresses = append(a.addresses, netip.AddrPortFrom(ip, n.port))
	}
	return a
}

func lookupSRV(ctx context.Context, r *net.Resolver, n name) answer {
	_, targets, err := r.LookupSRV(ctx, "", "", n.host)
	targets = slices.DeleteFunc(targets, func(t *net.SRV) bool { return t.Target == "." }) // says that there is no such service
	if isAbsent(err) || err == nil && len(targets) == 0 {
		return answer{absent: []string{n.String()}}
	}
	if err != nil {
		return answer{err: err}
	}
	var a answer
	for _, b := range each(targets, func(t *net.SRV) answer { return lookupTarget(ctx, r, t) }) {
		a.addresses = append(a.addresses, b.addresses...)
		a.absent = append(a.absent, b.absent...)
		a.err = errors.Join(a.err, b.err)
	}
	return a
}

func lookupTarget(ctx context.Context, r *net.Resolver, t *net.SRV) answer {
	if t.Port == 0 {
		return answer{err: fmt.Errorf("its target %s has port 0", t.Target)}
	}
	return lookup(ctx, r, name{host: t.Target, port: t.Port})
}

// isAbsent tells the answer that there is no such name or record from no answer.
func isAbsent(err error) bool {
	var e *net.DNSError
	return errors.As(err, &e) && e.IsNotFound
}

// oneKind takes the IPv4 addresses, or when there are none those of IPv6.
func oneKind(ips []netip.Addr) []netip.Addr {
	var four, six []netip.Addr
	for _, ip := range ips {
		if ip = ip.Unmap(); ip.Is4() {
			four = append(four, ip)
		} else {
			six = append(six, ip)
		}
	}
	if len(four) > 0 {
		return four
	}
	return six
}
