package fleet_test

import (
	"strings"
	"testing"

	"github.com/logdrive/logdrive/cmd/bench/fleet"
)

func TestCrewComesAndGoes(t *testing.T) {
	c, err := fleet.StartCrew(t.Context(), config(t, "none"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Kill()
	for _, name := range []string{"a", "b"} {
		if err := c.Join(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if c.Archive("a") == c.Archive("b") || len(c.Receivers()) != 2 {
		t.Errorf("archives %s and %s, %d receivers", c.Archive("a"), c.Archive("b"), len(c.Receivers()))
	}
	hub := c.Hub.Nodes[0]
	before := hub.PID()
	for _, err := range []error{c.KillReceiver("a"), hub.Kill(), c.Hub.Restart(t.Context(), hub), c.StartAgent("h", "/some/path"), c.Alive()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if hub.PID() == before || len(c.Receivers()) != 1 {
		t.Errorf("hub is process %d as before, or %d receivers are not 1", before, len(c.Receivers()))
	}
	if err := c.Agents()[0].Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.Alive(); err == nil || !strings.Contains(err.Error(), "agent-h") {
		t.Errorf("after a kill: %v", err)
	}
}

func TestCrewTellsWhyItsHubEnded(t *testing.T) {
	if _, err := fleet.StartCrew(t.Context(), config(t, "hub")); err == nil || !strings.Contains(err.Error(), "bad luck") {
		t.Errorf("got %v", err)
	}
}
