package cluster

// SetStop is told every step of every change of a layout in this process.
func SetStop(f func(step string)) { stop = f }

// ConnectInProcess is how hub, leaf and node connect to their own servers.
var ConnectInProcess = connectInProcess
