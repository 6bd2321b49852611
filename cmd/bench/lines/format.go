package lines

import "fmt"

// Format is the shape of a line's text.
type Format int

const (
	Combined Format = iota // an access log's line, about 200 bytes
	JSON                   // a service's structured line, about 350 bytes
)

// ParseFormat reads "combined" or "json".
func ParseFormat(s string) (Format, error) {
	switch s {
	case "combined":
		return Combined, nil
	case "json":
		return JSON, nil
	}
	return 0, fmt.Errorf("format %q: want combined or json", s)
}

func (f Format) String() string {
	if f == JSON {
		return "json"
	}
	return "combined"
}
