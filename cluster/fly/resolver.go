package fly

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// resolver asks one server, or those of the system. It is strict, as only Go's own resolver can be: a question that fails is never taken for an answer.
type resolver struct{ *net.Resolver }

func newResolver(server string) resolver {
	r := &net.Resolver{PreferGo: true, StrictErrors: true}
	if server != "" {
		r.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server)
		}
	}
	return resolver{r}
}

// addresses of a name; none when there is no such name.
func (r resolver) addresses(ctx context.Context, name string) ([]netip.Addr, error) {
	found, err := r.LookupNetIP(ctx, "ip", name+".") // the dot keeps search domains out
	if isAbsent(err) {
		return nil, nil
	}
	for i := range found {
		found[i] = found[i].Unmap()
	}
	return found, err
}

// list is what a TXT record enumerates, in order; nothing when there is no such record.
func (r resolver) list(ctx context.Context, name string) ([]string, error) {
	records, err := r.LookupTXT(ctx, name+".")
	if isAbsent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var entries []string
	for _, record := range records {
		for entry := range strings.SplitSeq(record, ",") {
			if entry = strings.TrimSpace(entry); entry != "" {
				entries = append(entries, entry)
			}
		}
	}
	slices.Sort(entries)
	return slices.Compact(entries), nil
}

// isAbsent tells the answer that there is no such name or record from no answer.
func isAbsent(err error) bool {
	var e *net.DNSError
	return errors.As(err, &e) && e.IsNotFound
}
