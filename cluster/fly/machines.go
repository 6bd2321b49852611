package fly

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// machine is a started machine of the process group.
type machine struct {
	id     string
	region string
	name   string // in DNS, for as long as it lives
}

const (
	// views is how often DNS is looked at before records that do not fit together are an error: machines start and stop between two of them.
	views = 3
	// questions is how many are asked at the same time: an app may have many machines that are no nodes.
	questions = 16
)

// machines lists those of the process group, by id.
func (a *Adapter) machines(ctx context.Context) ([]machine, error) {
	var unfit error
	for range views {
		listed, err := a.listed(ctx)
		if err != nil {
			return nil, err
		}
		members, err := a.members(ctx)
		if err != nil {
			return nil, err
		}
		found, strangers, err := a.match(ctx, listed, members)
		if err != nil {
			return nil, err
		}
		if len(strangers) == 0 {
			return found, nil
		}
		unfit = fmt.Errorf("process group %s has %v, which are of no machine in %s", a.env.group, strangers, a.domain("vms"))
	}
	return nil, unfit
}

// listed is every started machine of the app.
func (a *Adapter) listed(ctx context.Context) ([]machine, error) {
	name := a.domain("vms")
	entries, err := a.resolver.list(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("list machines: %w", err)
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("list machines: %s names none, not even this one: is it started, and FLY_APP_NAME right?", name)
	}
	var list []machine
	for _, entry := range entries {
		fields := strings.Fields(entry)
		if len(fields) != 2 {
			return nil, fmt.Errorf("list machines: %s has %q, which is not a machine and its region: Fly has changed it", name, entry)
		}
		m := machine{id: fields[0], region: fields[1], name: a.domain(fields[0] + ".vm")}
		if m.id == a.env.machine && m.region != a.env.region {
			return nil, fmt.Errorf("list machines: %s has this machine in region %q, FLY_REGION says %q", name, m.region, a.env.region)
		}
		list = append(list, m)
	}
	return list, nil
}

// members are the addresses of the process group.
func (a *Adapter) members(ctx context.Context) ([]netip.Addr, error) {
	name := a.domain(a.env.group + ".process")
	found, err := a.resolver.addresses(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("look up the process group: %w", err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("look up the process group: %s has no address, not even of this machine: is it started?", name)
	}
	return found, nil
}

// match tells which of the listed machines are members, and which members are none of them.
func (a *Adapter) match(ctx context.Context, listed []machine, members []netip.Addr) (found []machine, strangers []netip.Addr, err error) {
	addresses, faults := make([][]netip.Addr, len(listed)), make([]error, len(listed))
	var asked errgroup.Group
	asked.SetLimit(questions)
	for i, m := range listed {
		asked.Go(func() error {
			addresses[i], faults[i] = a.resolver.addresses(ctx, m.name)
			return nil
		})
	}
	_ = asked.Wait() // none of them fails: all faults are told, not just the first
	if err := errors.Join(faults...); err != nil {
		return nil, nil, fmt.Errorf("look up machines: %w", err)
	}
	strangers = slices.Clone(members)
	for i, m := range listed {
		is := func(ip netip.Addr) bool { return slices.Contains(addresses[i], ip) }
		if slices.ContainsFunc(members, is) {
			found = append(found, m)
		}
		strangers = slices.DeleteFunc(strangers, is)
	}
	return found, strangers, nil
}

// domain is a name below the app's.
func (a *Adapter) domain(below string) string { return below + "." + a.env.app + ".internal" }
