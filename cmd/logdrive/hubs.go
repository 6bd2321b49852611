package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
)

// hubs are the addresses that --hub gives. ${NAME} stands for a variable of the environment: where a platform starts the same command everywhere, only that says which region this is.
// One that is not set is an error, not nothing: what is left of the address may be another hub's.
func hubs(c *cli.Context) ([]string, error) {
	var addresses []string
	for _, hub := range c.StringSlice("hub") {
		var missing []string
		address := os.Expand(hub, func(name string) string {
			value := os.Getenv(name)
			if value == "" {
				missing = append(missing, name)
			}
			return value
		})
		if len(missing) > 0 {
			return nil, fmt.Errorf("--hub %s: the environment lacks %s", hub, strings.Join(missing, ", "))
		}
		addresses = append(addresses, address)
	}
	return addresses, nil
}

// hubOf is the hub that runs elsewhere: the addresses of its nodes, as Connect takes them. "": none.
func hubOf(c *cli.Context) (string, error) {
	addresses, err := hubs(c)
	return strings.Join(addresses, ","), err
}
