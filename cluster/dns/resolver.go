package dns

import (
	"context"
	"net"
)

// newResolver asks one server, or those of the system. It is strict: of the questions that make up one lookup (A and AAAA, each search domain) one that
// fails fails the whole, where it would otherwise go unheard and its nodes would seem to be gone. Only Go's own resolver can do that.
func newResolver(server string) *net.Resolver {
	r := &net.Resolver{PreferGo: true, StrictErrors: true}
	if server != "" {
		r.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server)
		}
	}
	return r
}
