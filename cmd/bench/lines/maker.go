package lines

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Config says which lines a [Maker] makes.
type Config struct {
	Origin string // "host:source", the name the lines are numbered under; no white space, quotes or any of # @ ~
	Format Format
	Seed   uint64 // the same seed and times give the same lines
	First  uint64 // the number of the first line
}

// Maker makes the lines of one origin, numbered without holes.
type Maker struct {
	cfg  Config
	rand *rand.Rand
	next uint64

	second int64 // whose text clock holds
	clock  []byte
}

// NewMaker refuses an origin that a mark could not carry.
func NewMaker(cfg Config) (*Maker, error) {
	if cfg.Origin == "" || strings.ContainsAny(cfg.Origin, " \t\r\n\"\\#@~") {
		return nil, fmt.Errorf("origin %q: want host:source without white space, quotes, # @ ~", cfg.Origin)
	}
	return &Maker{cfg: cfg, rand: rand.New(rand.NewPCG(cfg.Seed, 0x10adf17e)), next: cfg.First, second: -1}, nil
}

// Origin is the name the lines are numbered under.
func (m *Maker) Origin() string { return m.cfg.Origin }

// Next is the number the next line gets; with First 0 it is also how many there are.
func (m *Maker) Next() uint64 { return m.next }

// Append appends the next line, newline included, stamped with the time at.
func (m *Maker) Append(dst []byte, at time.Time) []byte {
	start := len(dst)
	m.tick(at)
	if m.cfg.Format == JSON {
		dst = m.json(dst, at)
	} else {
		dst = m.combined(dst)
	}
	dst = m.mark(dst, start, at)
	if m.cfg.Format == JSON {
		dst = append(dst, jsonEnd...)
	}
	m.next++
	return append(dst, '\n')
}

// AppendBlock appends whole lines until at least size bytes were added.
func (m *Maker) AppendBlock(dst []byte, size int, at time.Time) []byte {
	for end := len(dst) + size; len(dst) < end; {
		dst = m.Append(dst, at)
	}
	return dst
}

// tick renders the time once a second: formatting it for each line would cost as much as the rest of the line.
func (m *Maker) tick(at time.Time) {
	if m.second == at.Unix() {
		return
	}
	m.second = at.Unix()
	layout := "02/Jan/2006:15:04:05 -0700"
	if m.cfg.Format == JSON {
		layout = "2006-01-02T15:04:05"
	}
	m.clock = at.UTC().AppendFormat(m.clock[:0], layout)
}

func (m *Maker) combined(dst []byte) []byte {
	dst = m.address(dst)
	dst = append(dst, " - "...)
	if m.rand.IntN(8) == 0 {
		dst = append(dst, "user"...)
		dst = strconv.AppendInt(dst, int64(m.skewed(5000)), 10)
	} else {
		dst = append(dst, '-')
	}
	dst = append(dst, " ["...)
	dst = append(dst, m.clock...)
	dst = append(dst, `] "`...)
	dst = append(dst, m.word(methods)...)
	dst = append(dst, ' ')
	dst = m.path(dst)
	dst = append(dst, ` HTTP/1.1" `...)
	dst = append(dst, m.word(statuses)...)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, int64(m.size()), 10)
	dst = append(dst, ` "`...)
	dst = append(dst, m.word(referers)...)
	dst = append(dst, `" "`...)
	dst = append(dst, m.word(agents)...)
	return append(dst, `" `...)
}

func (m *Maker) json(dst []byte, at time.Time) []byte {
	dst = append(dst, `{"time":"`...)
	dst = append(dst, m.clock...)
	dst = append(dst, '.')
	dst = appendPadded(dst, uint64(at.Nanosecond()/1000), 6)
	dst = append(dst, `Z","level":"`...)
	dst = append(dst, m.word(levels)...)
	dst = append(dst, `","service":"shop","logger":"`...)
	dst = append(dst, m.word(loggers)...)
	dst = append(dst, `","msg":"`...)
	dst = append(dst, m.word(messages)...)
	dst = append(dst, `","request_id":"`...)
	dst = m.uuid(dst)
	dst = append(dst, `","client":"`...)
	dst = m.address(dst)
	dst = append(dst, `","method":"`...)
	dst = append(dst, m.word(methods)...)
	dst = append(dst, `","path":"`...)
	dst = m.path(dst)
	dst = append(dst, `","status":`...)
	dst = append(dst, m.word(statuses)...)
	dst = append(dst, `,"bytes":`...)
	dst = strconv.AppendInt(dst, int64(m.size()), 10)
	dst = append(dst, `,"duration_ms":`...)
	dst = strconv.AppendInt(dst, int64(m.skewed(900)), 10)
	dst = append(dst, '.')
	dst = appendPadded(dst, m.rand.Uint64N(1000), 3)
	dst = append(dst, `,"user":"user`...)
	dst = strconv.AppendInt(dst, int64(m.skewed(5000)), 10)
	return append(dst, `","mark":"`...)
}

// word draws an entry, the early ones of the list more often.
func (m *Maker) word(list []string) string { return list[m.skewed(len(list))] }

// skewed draws from [0, n), small numbers more often: the product of two uniform draws.
func (m *Maker) skewed(n int) int {
	r := m.rand.Uint64()
	a, b := r>>32, r&0xffffffff
	return int((a * b >> 32) * uint64(n) >> 32)
}

func (m *Maker) address(dst []byte) []byte {
	client := uint32(m.skewed(20000)) * 2654435761 // each client an address of its own, spread over the network
	dst = append(dst, "10."...)
	dst = strconv.AppendUint(dst, uint64(client>>24), 10)
	dst = append(dst, '.')
	dst = strconv.AppendUint(dst, uint64(client>>16&0xff), 10)
	dst = append(dst, '.')
	return strconv.AppendUint(dst, uint64(client>>8&0xff), 10)
}

func (m *Maker) path(dst []byte) []byte {
	p := m.word(paths)
	dst = append(dst, p...)
	if p == "/" {
		return dst
	}
	switch p[len(p)-1] {
	case '.':
		dst = strconv.AppendInt(dst, 0x9000+int64(m.skewed(40)), 16)
		return append(dst, ".js"...)
	case '/', '=':
		return strconv.AppendInt(dst, int64(m.skewed(2_000_000)), 10)
	}
	return dst
}

func (m *Maker) size() int { return 120 + m.skewed(1<<(7+m.rand.IntN(11))) }

func (m *Maker) uuid(dst []byte) []byte {
	a, b := m.rand.Uint64(), m.rand.Uint64()
	dst = appendHex(dst, a>>32, 8)
	dst = append(dst, '-')
	dst = appendHex(dst, a>>16, 4)
	dst = append(dst, "-4"...)
	dst = appendHex(dst, a, 3)
	dst = append(dst, "-a"...)
	dst = appendHex(dst, b>>48, 3)
	dst = append(dst, '-')
	return appendHex(dst, b, 12)
}

func appendHex(dst []byte, v uint64, digits int) []byte {
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		dst = append(dst, "0123456789abcdef"[v>>shift&15])
	}
	return dst
}

func appendPadded(dst []byte, v uint64, digits int) []byte {
	end := len(dst) + digits
	for range digits {
		dst = append(dst, '0')
	}
	for i := end - 1; v > 0 && i >= end-digits; i-- {
		dst[i] = byte('0' + v%10)
		v /= 10
	}
	return dst
}
