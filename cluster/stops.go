package cluster

// stop, when a test has set it, is told which step of a change of the layout has just been made. It may end the process there.
var stop func(step string)

func stopAt(step string) {
	if stop != nil {
		stop(step)
	}
}
