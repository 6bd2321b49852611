package fly

import (
	"fmt"
	"net/netip"
	"strings"
)

// environment is what Fly tells a machine of itself.
type environment struct {
	machine string
	app     string
	group   string
	region  string
	primary string // region of the hub
}

// readEnvironment names every variable that is missing in one error. Only the hub-and-spoke shape needs a primary region. The private address changes
// when Fly moves the machine and so is not kept, but without one nobody can reach it.
func readEnvironment(getenv func(string) string, shape Shape) (environment, error) {
	var env environment
	var ip string
	variables := []struct {
		name string
		into *string
	}{
		{"FLY_MACHINE_ID", &env.machine},
		{"FLY_APP_NAME", &env.app},
		{"FLY_PROCESS_GROUP", &env.group},
		{"FLY_REGION", &env.region},
		{"FLY_PRIVATE_IP", &ip},
	}
	if shape == HubAndSpoke {
		variables = append(variables, struct {
			name string
			into *string
		}{"PRIMARY_REGION", &env.primary})
	}
	var missing []string
	for _, v := range variables {
		if *v.into = getenv(v.name); *v.into == "" {
			missing = append(missing, v.name)
		}
	}
	if len(missing) > 0 {
		return environment{}, fmt.Errorf("environment lacks %s: is this a machine of Fly.io?", strings.Join(missing, ", "))
	}
	if _, err := netip.ParseAddr(ip); err != nil {
		return environment{}, fmt.Errorf("environment: FLY_PRIVATE_IP %q is no IP address", ip)
	}
	return env, nil
}
