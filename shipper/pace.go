package shipper

import "time"

// paced reports whether a batch of so many raw bytes, ready so long after the one before left, shall gather more. A busy file is read every few milliseconds, and each
// message costs agent and hub some 0.3 ms of a core whatever it carries: below PaceBytes a Pace that is more than the bytes are worth. A file that is busier keeps its latency,
// its messages are large by themselves, and a line that comes after a pause leaves at once.
func (c Config) paced(bytes int, since time.Duration) bool {
	if c.Once || since >= c.Pace {
		return false
	}
	since = max(since, c.Pace/3) // what comes in the first moments tells nothing of the rate
	return int64(bytes)*int64(c.Pace) < int64(c.PaceBytes)*int64(since)
}
