package cluster

// SetStop is told every step of every change of a layout in this process.
func SetStop(f func(step string)) { stop = f }
