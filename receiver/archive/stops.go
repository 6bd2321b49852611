package archive

// stop, when a test has set it, is told where the process stands, and may end it there.
var stop func(where string)

func at(where string) {
	if stop != nil {
		stop(where)
	}
}
