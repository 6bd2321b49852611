package torture

import (
	"encoding/json"
	"io"
	"os"
	"sync/atomic"
)

// toldFD is where the writer's process hears the test.
const toldFD = 3

// message is what the test says to the writer.
type message struct {
	Arrived int64  `json:"arrived,omitempty"` // number of the last line that came
	Behind  *int64 `json:"behind,omitempty"`  // bytes that the reader has seen and not shipped
	Reader  int64  `json:"reader,omitempty"`  // its process
}

// told is what the test said last.
type told struct{ arrived, behind, reader atomic.Int64 }

// listen hears what the test says until it falls silent.
func listen(r io.Reader) *told {
	var t told
	t.behind.Store(-1)
	t.reader.Store(int64(os.Getppid()))
	go func() {
		for d := json.NewDecoder(r); ; {
			var m message
			if d.Decode(&m) != nil {
				return
			}
			if m.Arrived > 0 {
				t.arrived.Store(m.Arrived)
			}
			if m.Reader > 0 {
				t.reader.Store(m.Reader)
			}
			if m.Behind != nil {
				t.behind.Store(*m.Behind)
			}
		}
	}()
	return &t
}
