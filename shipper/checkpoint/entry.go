package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/logdrive/logdrive/shipper/tail"
)

// entry is a generation as it is stored. Source and number are in the key; the path is bytes, which JSON strings cannot hold.
type entry struct {
	Identity string `json:"identity"`
	Offset   int64  `json:"offset"`
	Length   int64  `json:"length"`
	CheckLen int    `json:"check_len,omitempty"`
	CheckSum uint64 `json:"check_sum,omitempty"`
	Seen     int64  `json:"seen,omitempty"`
	Path     []byte `json:"path,omitempty"`
}

func encode(g tail.Generation) (k, v []byte, err error) {
	v, err = json.Marshal(entry{
		Identity: g.Identity.String(), Offset: g.Offset, Length: g.Length,
		CheckLen: g.Check.Len, CheckSum: g.Check.Sum, Seen: g.Seen, Path: []byte(g.Path),
	})
	if err != nil {
		return nil, nil, fmt.Errorf("generation %d of %q: %w", g.Number, g.Source, err)
	}
	return key(g.Source, g.Number), v, nil
}

func decode(k, v []byte) (tail.Generation, error) {
	source, number, ok := bytes.Cut(k, []byte{0})
	if !ok || len(number) != 8 {
		return tail.Generation{}, fmt.Errorf("generation: key %q", k)
	}
	g := tail.Generation{Source: string(source), Number: binary.BigEndian.Uint64(number)}
	var e entry
	if err := json.Unmarshal(v, &e); err != nil {
		return tail.Generation{}, fmt.Errorf("generation %d of %q: %w", g.Number, g.Source, err)
	}
	id, err := tail.ParseIdentity(e.Identity)
	if err != nil {
		return tail.Generation{}, fmt.Errorf("generation %d of %q: %w", g.Number, g.Source, err)
	}
	g.Identity, g.Offset, g.Length = id, e.Offset, e.Length
	g.Check = tail.Check{Len: e.CheckLen, Sum: e.CheckSum}
	g.Seen, g.Path = e.Seen, string(e.Path)
	return g, nil
}
