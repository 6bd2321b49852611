package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// clockTick is the unit of CPU times in /proc: USER_HZ, 100 on every architecture that Go runs on.
const clockTick = time.Second / 100

func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

func usage(pid int) (Usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Usage{}, err
	}
	// The name in parentheses may hold anything; the fields after it are numbers, user and system time the 12th and 13th.
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(f) < 13 {
		return Usage{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(f))
	}
	ticks := number(f[11]) + number(f[12])
	return Usage{CPU: time.Duration(ticks) * clockTick, RSS: field(status, "VmRSS:") << 10, Peak: field(status, "VmHWM:") << 10}, nil
}

// field is the number after a name in /proc/PID/status, or 0.
func field(status []byte, name string) int64 {
	_, after, _ := bytes.Cut(status, []byte(name))
	f := bytes.Fields(after)
	if len(f) == 0 {
		return 0
	}
	return number(f[0])
}

func number(b []byte) int64 {
	n, _ := strconv.ParseInt(string(b), 10, 64) // what is no number counts as 0
	return n
}
