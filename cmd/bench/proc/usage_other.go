//go:build !linux

package proc

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func attributes() *syscall.SysProcAttr { return nil }

// usage asks ps: its peak is only the most that was ever seen at a call.
func usage(pid int) (Usage, error) {
	out, err := exec.Command("ps", "-o", "rss=,time=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return Usage{}, fmt.Errorf("ps: %w", err)
	}
	f := strings.Fields(string(out))
	if len(f) != 2 {
		return Usage{}, fmt.Errorf("ps printed %q", out)
	}
	kib, err := strconv.ParseInt(f[0], 10, 64)
	if err != nil {
		return Usage{}, fmt.Errorf("ps: %w", err)
	}
	cpu, err := clock(f[1])
	return Usage{CPU: cpu, RSS: kib << 10, Peak: kib << 10}, err
}

// clock reads [[hours:]minutes:]seconds.
func clock(s string) (time.Duration, error) {
	var total float64
	for part := range strings.SplitSeq(s, ":") {
		n, err := strconv.ParseFloat(part, 64)
		if err != nil {
			return 0, fmt.Errorf("time %q: %w", s, err)
		}
		total = total*60 + n
	}
	return time.Duration(total * float64(time.Second)), nil
}
