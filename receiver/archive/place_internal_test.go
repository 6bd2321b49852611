package archive

import "testing"

// What steps aside may meet what stepped aside before.
func TestPlaceStepsAsideAgain(t *testing.T) {
	h := &host{files: map[string]bool{"x": true, "x%@": true}, dirs: map[string]bool{}}
	if got := h.place("x/y"); got != "x%@%@/y" {
		t.Errorf("placed at %s", got)
	}
	h = &host{files: map[string]bool{}, dirs: map[string]bool{"x": true, "x%@": true}}
	if got := h.place("x"); got != "x%@%@" {
		t.Errorf("placed at %s", got)
	}
}
