package main

import (
	"reflect"
	"strings"
	"testing"
)

func TestHubNamesVariables(t *testing.T) {
	t.Setenv("FLY_REGION", "fra")
	t.Setenv("FLY_APP_NAME", "logs")
	t.Setenv("EMPTY", "")
	for _, test := range []struct {
		hub, want, fault string
	}{
		{hub: "nats-leaf://${FLY_REGION}.${FLY_APP_NAME}.internal:7422", want: "nats-leaf://fra.logs.internal:7422"},
		{hub: "nats-leaf://h1:7422", want: "nats-leaf://h1:7422"},
		{hub: "nats-leaf://${EMPTY}.${ABSENT}.internal:7422", fault: "the environment lacks EMPTY, ABSENT"},
	} {
		c, _, err := settings(t, "hub: '"+test.hub+"'\npaths: [/var/log]\n")
		if err != nil {
			t.Fatal(err)
		}
		got, err := hubs(c)
		switch {
		case test.fault != "" && (err == nil || !strings.Contains(err.Error(), test.fault)):
			t.Errorf("%s: %v, want %q", test.hub, err, test.fault)
		case test.fault == "" && (err != nil || !reflect.DeepEqual(got, []string{test.want})):
			t.Errorf("%s: %q, %v, want %s", test.hub, got, err, test.want)
		}
	}
}
