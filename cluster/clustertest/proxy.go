package clustertest

import (
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// pipeBytes is how much a direction of a connection may hold. A sender that is not read by then waits, as with a real network.
const pipeBytes = 64 << 20

// Proxy stands between an agent or receiver and a hub and does what networks do.
type Proxy struct {
	target string

	mu       sync.Mutex // guards what follows
	changed  *sync.Cond // told about every change of it
	listener net.Listener
	address  string
	conns    []*conn
	refuse   bool // new connections are reset
	hold     bool // new connections are held
	delay    time.Duration
	closed   bool
	running  sync.WaitGroup
}

// conn is one connection through the proxy.
type conn struct {
	client, server net.Conn
	held           bool // what it carries waits; guarded by Proxy.mu
	dead           bool // guarded by Proxy.mu
	waiting        int  // bytes on their way; guarded by Proxy.mu
}

// StartProxy listens on loopback for connections to target, an address as host:port or as a URL.
func StartProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	if _, address, ok := strings.Cut(target, "://"); ok {
		target = address
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{target: target, listener: l, address: l.Addr().String()}
	p.changed = sync.NewCond(&p.mu)
	p.running.Go(p.accept)
	t.Cleanup(p.Close)
	return p
}

// Address is host:port.
func (p *Proxy) Address() string { return p.address }

// Leaf is the address as agents want it.
func (p *Proxy) Leaf() string { return "nats-leaf://" + p.address }

// Client is the address as receivers want it.
func (p *Proxy) Client() string { return "nats://" + p.address }

// Cut resets every connection, and every new one until Heal.
func (p *Proxy) Cut() {
	p.set(func() {
		p.refuse = true
		for _, c := range p.conns {
			c.kill()
		}
	})
}

// Blackhole holds what every connection carries, both ways, and new connections too. They stay open, and nothing is lost: not even what
// a process sent that was killed since.
func (p *Proxy) Blackhole() {
	p.set(func() {
		p.hold = true
		for _, c := range p.conns {
			c.held = true
		}
	})
}

// Heal lets new connections pass again. Those that are held stay so: a process may come back on a new connection while the old one still holds its bytes.
func (p *Proxy) Heal() { p.set(func() { p.refuse, p.hold = false, false }) }

// Release lets what is held flow on.
func (p *Proxy) Release() {
	p.set(func() {
		for _, c := range p.conns {
			c.held = false
		}
	})
}

// Delay makes all bytes arrive that much later, each way.
func (p *Proxy) Delay(d time.Duration) { p.set(func() { p.delay = d }) }

// Target sends new connections elsewhere: a hub that was started again may have another port.
func (p *Proxy) Target(address string) {
	if _, a, ok := strings.Cut(address, "://"); ok {
		address = a
	}
	p.set(func() { p.target = address })
}

// Held is how many bytes wait in held connections.
func (p *Proxy) Held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	held := 0
	for _, c := range p.conns {
		if c.held {
			held += c.waiting
		}
	}
	return held
}

// Connections is how many are open.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// Close ends everything.
func (p *Proxy) Close() {
	p.set(func() {
		p.closed = true
		p.listener.Close()
		for _, c := range p.conns {
			c.kill()
		}
	})
	p.running.Wait()
}

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.changed.Broadcast()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.join(client) })
	}
}

// join connects a client to the target and carries bytes until one side closes.
func (p *Proxy) join(client net.Conn) {
	p.mu.Lock()
	c := &conn{client: client, held: p.hold}
	refuse, target := p.refuse || p.closed, p.target
	p.mu.Unlock()
	server, err := net.DialTimeout("tcp", target, Patience)
	if refuse || err != nil {
		if server != nil {
			server.Close()
		}
		reset(client)
		return
	}
	c.server = server
	p.set(func() {
		if p.refuse || p.closed {
			c.kill()
		}
		p.conns = append(p.conns, c)
	})
	var both sync.WaitGroup
	both.Go(func() { p.carry(c, client, server) })
	both.Go(func() { p.carry(c, server, client) })
	both.Wait()
	client.Close()
	server.Close()
	p.set(func() { p.conns = slices.DeleteFunc(p.conns, func(o *conn) bool { return o == c }) })
}

// kill resets both ends. The caller holds Proxy.mu.
func (c *conn) kill() {
	c.dead = true
	reset(c.client)
	reset(c.server)
}

// reset closes with RST instead of FIN, as a host does that knows nothing of the connection.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}

// piece is bytes on their way, and when they may arrive.
type piece struct {
	data []byte
	due  time.Time
}

// carry moves bytes one way. It reads on while the connection is held, since the kernel would drop what a killed sender left unread.
func (p *Proxy) carry(c *conn, from, to net.Conn) {
	var way []piece
	var size int
	var ended bool
	var lost bool // the receiver is gone; what it sent before may still be on its way
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			buf := make([]byte, 64<<10)
			n, err := from.Read(buf)
			p.mu.Lock()
			way, size = append(way, piece{buf[:n], time.Now().Add(p.delay)}), size+n
			c.waiting += n
			ended = err != nil
			p.changed.Broadcast()
			for size > pipeBytes && !c.dead {
				p.changed.Wait()
			}
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	for {
		p.mu.Lock()
		for (len(way) == 0 && !ended || c.held) && !c.dead {
			p.changed.Wait()
		}
		if c.dead || len(way) == 0 {
			p.mu.Unlock()
			break
		}
		next := way[0]
		way, size = way[1:], size-len(next.data)
		c.waiting -= len(next.data)
		p.changed.Broadcast()
		p.mu.Unlock()
		if lost {
			continue
		}
		time.Sleep(time.Until(next.due))
		_, err := to.Write(next.data)
		lost = err != nil
	}
	// The sender ended and all has arrived: end both ways.
	p.set(func() { c.dead = true })
	from.Close()
	to.Close()
	reading.Wait()
}
