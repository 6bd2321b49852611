package cluster

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestServerLogTellsTheSameComplaintOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		heard := 0
		l := newServerLog(slog.New(slog.NewTextHandler(&out, nil)), nil, func(complaint bool, _ string) {
			if complaint {
				heard++
			}
		})
		for range 100 {
			l.Errorf("127.0.0.1:7422 - lid:%d - attempt %d", 1, 2)
			l.Errorf("127.0.0.1:7423 - lid:%d - attempt %d", 3, 4)
			l.Noticef("nothing of interest")
			time.Sleep(time.Second)
		}
		l.Warnf("something else")
		if got := strings.Count(out.String(), "attempt"); got != 4 {
			t.Errorf("one complaint for 100 s is told %d times, want at 0, 30, 60 and 90 s", got)
		}
		if got := strings.Count(out.String(), "\n"); got != 5 {
			t.Errorf("%d lines: %s", got, &out)
		}
		if !strings.Contains(out.String(), "repeated=59") {
			t.Errorf("nothing says how often it was left out: %s", &out)
		}
		if heard != 201 {
			t.Errorf("%d complaints observed, want all 201", heard)
		}
	})
}

func TestFaultsKeepTheComplaintThatALinkEndedAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &faults{target: "127.0.0.1:1", linked: true}
		f.observe(true, "127.0.0.1:1 - lid:3 - Leafnode Error 'Authorization Violation'")
		f.observe(false, "127.0.0.1:1 - lid:3 - Leafnode connection closed: Read Error")
		if text, _ := f.last(); !strings.Contains(text, "refuses the secret") {
			t.Errorf("the fault is %q", text)
		}
		time.Sleep(time.Minute)
		f.observe(false, "Server is ready")
		f.observe(false, "127.0.0.1:1 - lid:4 - Leafnode connection closed: Stale Connection")
		if text, since := f.last(); text != "the link to the hub ended: stale connection" || time.Since(since) != 0 {
			t.Errorf("the fault is %q since %v", text, since)
		}
	})
}
